"""Image layers and image archives, byte for byte the same wherever they are made from the same files.

A layer is a tar: entries sorted, one fixed time, owners given. Its digest, and so the image's id, is that of
the uncompressed bytes; on disk it is compressed with zstd at its fastest, because containerd hashes, sends
and syncs every byte it imports (40 percent less processor time, a third of the disk). An archive is the
layout that `docker save` writes; containerd, Docker >= 23, Podman and kind read it.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow

TIME = 315532800
"""1980-01-01, the time of every entry: the first that a zip file can hold too."""


@dataclass(frozen=True)
class Entry:
    """One path in a layer.

    Args:
        path: absolute path in the container's file system.
        content: bytes, or the file to read them from; None for a folder or a link.
        link: target of a symbolic link.
        mode: permission bits.
        owner: numeric user and group.
    """

    path: str
    content: bytes | Path | None = None
    link: str | None = None
    mode: int = 0o644
    owner: int = 0


@dataclass(frozen=True)
class Layer:
    """A finished layer: its compressed tar file, and the SHA-256 of the uncompressed bytes in hexadecimal."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Config:
    """What a container of the image runs, in the words of the OCI image configuration."""

    entrypoint: Sequence[str]
    user: str = "65532:65532"
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)


class _HashingFile:
    """A file that is only written, and hashed on the way."""

    def __init__(self, file: pyarrow.NativeFile) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self._file.write(data)
        return len(data)


def folder_entries(root: Path, prefix: str = "", *, owner: int = 0) -> list[Entry]:
    """Everything under `root` as entries under `prefix`; devices and sockets are left out."""
    entries = []
    for path in sorted(root.rglob("*")):
        inside = f"{prefix}/{path.relative_to(root).as_posix()}"
        info = path.lstat()
        mode = stat.S_IMODE(info.st_mode)
        if path.is_symlink():
            entries.append(Entry(inside, link=str(path.readlink()), mode=0o777, owner=owner))
        elif path.is_dir():
            entries.append(Entry(inside, mode=mode, owner=owner))
        elif path.is_file():
            entries.append(Entry(inside, path, mode=mode, owner=owner))
    return entries


def _with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Entries sorted by path, each once, with the folders above them."""
    by_path = {entry.path.strip("/"): entry for entry in entries}
    for path in list(by_path):
        while path := path.rpartition("/")[0]:
            by_path.setdefault(path, Entry(path, mode=0o755))
    return [by_path[path] for path in sorted(by_path)]


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path.strip("/"))
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.owner, entry.owner, TIME
    if entry.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        archive.addfile(info)
    elif entry.content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif isinstance(entry.content, bytes):
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
    else:
        info.size = entry.content.stat().st_size
        with entry.content.open("rb") as file:
            archive.addfile(info, file)


def write_layer(target: Path, entries: Iterable[Entry]) -> Layer:
    """Write a layer with these entries and the folders above them to the file `target`."""
    import pyarrow  # half a second, so only when something is made

    with pyarrow.CompressedOutputStream(str(target), "zstd") as file:
        hashing = _HashingFile(file)
        with tarfile.open(
            fileobj=cast("BinaryIO", hashing), mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20
        ) as tar:
            for entry in _with_parents(entries):
                _add(tar, entry)
    return Layer(target, hashing.digest.hexdigest())


def image_config(
    layers: Sequence[Layer], config: Config, architecture: str, *, below: Sequence[str] = ()
) -> bytes:
    """The image's configuration as JSON; its SHA-256 is the image's id.

    Args:
        below: `sha256:` digests of the uncompressed layers of a base that these layers go on.
    """
    diff_ids = [*below, *(f"sha256:{layer.digest}" for layer in layers)]
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": list(config.entrypoint),
                "Env": [f"{name}={value}" for name, value in sorted(config.environment.items())],
                "User": config.user,
                "WorkingDir": config.working_dir,
                "Labels": dict(sorted(config.labels.items())),
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "1980-01-01T00:00:00Z", "created_by": "mlk8s"} for _ in diff_ids],
        },
        sort_keys=True,
    ).encode()


def write_archive(target: Path, reference: str, layers: Sequence[Layer], config: bytes) -> None:
    """Write the image `reference` as a docker-archive; `config` is `image_config` of the same layers."""
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    index = [{"Config": name, "RepoTags": [reference], "Layers": [f"{x.digest}/layer.tar" for x in layers]}]
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, Entry(name, config))
        for layer in layers:
            _add(tar, Entry(f"{layer.digest}/layer.tar", layer.path))
        _add(tar, Entry("manifest.json", json.dumps(index).encode()))
