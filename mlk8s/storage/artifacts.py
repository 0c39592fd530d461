"""Publish and read immutable versions: files, then one manifest as the commit.

    ROOT/VERSION/manifest.json       written last, only if absent
    ROOT/VERSION/RUN/model.onnx      a publisher's own files; RUN is random

Each publisher writes below a folder of its own, so that two of them never mix, and the one whose manifest is
there first has won; the other removes its files. What a killed publisher left is removed by the next winner.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mlk8s.errors import DigestMismatch, Mlk8sError, SpecError, StorageError
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.failures import AccessDenied, ObjectNotFound
from mlk8s.storage.location import Location
from mlk8s.storage.manifest import MANIFEST, File, Manifest, check_file
from mlk8s.storage.store import Store

_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class VersionExists(StorageError):
    """Somebody has published this version already, with other content."""

    def __init__(self, url: str, manifest: Manifest) -> None:
        super().__init__(
            f"Version {manifest.version!r} of {manifest.name!r} is there already, with other content.",
            where=f"{url} (since {manifest.created})",
            expected="a version that is not there yet: versions never change",
            next_step="publish under a new version",
        )
        self.manifest = manifest


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is there: `created` is False when another publisher had put it there before."""

    url: str
    manifest: Manifest
    created: bool


class Reader(Protocol):
    """What a version is read from: a Store, or a web server."""

    location: Location

    def get(self, key: str) -> bytes: ...

    def chunks(self, key: str) -> Iterator[bytes]: ...


def reader(url: str | Location, config: StorageConfig | None = None) -> Reader:
    """What reads a place; raises as `Store` does."""
    place = Location.parse(url)
    if place.scheme == "https":
        from mlk8s.storage.https import HttpsStore

        return HttpsStore(place)
    return Store(place, config)


def publish(
    root: str | Location,
    version: str,
    files: Mapping[str, bytes | Path],
    *,
    format: str,
    fields: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    config: StorageConfig | None = None,
) -> Published:
    """Publish a version: all of it, or nothing a reader can see.

    Args:
        root: the artefact, `s3://models/iris`.
        version: its name, 1 to 63 letters, digits, `.`, `_` or `-`.
        files: path in the version → content.
        format: `onnx`, `parquet`, ...
        fields: more fields of the manifest, of JSON values.
        exist_ok: accept a version of other content that is there already, instead of raising.
        config: endpoint and keys; None reads the environment.

    Returns:
        The winner's manifest; `created` says whether it is ours. The same content twice is no error.

    Raises:
        SpecError: a malformed version or URL, or no files.
        VersionExists: the version is there with other content.
        StorageError: object storage refused, or did not answer; nothing is visible then unless it says so.
    """
    place = Location.parse(root) / version_name(version)
    if not files:
        raise SpecError("A version needs at least one file.", where=str(place))
    store = Store(place, config)
    run = secrets.token_hex(6)
    described = tuple(_describe(path, content) for path, content in sorted(files.items()))
    ours = Manifest.make(
        name=Location.parse(root).name,
        version=version,
        format=format,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        run=run,
        files=described,
        fields=fields or {},
    )
    there = committed(store)
    if there is None:
        there = _upload_and_commit(store, ours, files)
    if there.raw == ours.raw:
        return Published(str(place), ours, True)
    if not exist_ok and not there.same_content(ours):
        raise VersionExists(str(place), there)
    return Published(str(place), there, False)


def read_manifest(url: str | Location, config: StorageConfig | None = None) -> Manifest:
    """The manifest of a version, `s3://models/iris/1`.

    Raises:
        ObjectNotFound: no such version; the message lists those that are there.
        StorageError: object storage refused, or the manifest cannot be read.
    """
    place = Location.parse(url)
    try:
        return Manifest.parse(reader(place, config).get(MANIFEST), f"{place}/{MANIFEST}")
    except ObjectNotFound:
        raise _no_version(place, config) from None


def read_file(
    url: str | Location, manifest: Manifest, file: File, config: StorageConfig | None = None
) -> bytes:
    """A file of a version, its digest checked; raises DigestMismatch."""
    place = Location.parse(url)
    data = reader(place, config).get(manifest.key(file))
    check_file(file, hashlib.sha256(data).hexdigest(), len(data), f"{place}/{manifest.key(file)}")
    return data


def download(
    url: str | Location,
    directory: str | Path,
    *,
    digest: str | None = None,
    limit: int | None = None,
    config: StorageConfig | None = None,
) -> Manifest:
    """Fetch a version into a directory: `manifest.json` appears last, after every digest has been checked.

    Args:
        url: the version.
        directory: made if absent; it may be a mount point.
        digest: what the manifest's digest has to be, `sha256:...`.
        limit: bytes that all files may have together.

    Raises:
        DigestMismatch: the manifest or a file is another one; nothing of it is left in `directory`.
        StorageError: object storage refused, or the directory cannot be written.
    """
    place, target = Location.parse(url), Path(directory)
    manifest = read_manifest(place, config)
    if digest and digest != manifest.digest:
        raise DigestMismatch(
            f"The model or data set is another one: {manifest.digest}.",
            where=f"{place}/{MANIFEST}",
            expected=digest,
            next_step="deploy again, to take the new digest over, or name the version that was meant",
        )
    size = sum(file.size for file in manifest.files)
    if limit is not None and size > limit:
        raise StorageError(
            f"The files have {size} bytes together.",
            where=str(place),
            expected=f"at most {limit} bytes, the room there is for them",
            next_step="raise resources.ephemeral_storage",
        )
    store, partial = reader(place, config), target / f".partial-{secrets.token_hex(4)}"
    try:
        partial.mkdir(parents=True)
        for file in manifest.files:
            _fetch(store, manifest, file, partial / file.path)
        for file in manifest.files:
            (target / file.path).parent.mkdir(parents=True, exist_ok=True)
            (partial / file.path).replace(target / file.path)
        (partial / MANIFEST).write_bytes(manifest.raw)
        (partial / MANIFEST).replace(target / MANIFEST)
    except OSError as error:
        raise StorageError(f"The directory cannot be written: {error.strerror}.", where=str(target)) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def versions(root: str | Location, config: StorageConfig | None = None) -> list[str]:
    """The committed versions, in natural order (2 before 10); empty where there are none."""
    return sorted((name for name, _ in _listed(root, config)), key=_natural)


def latest(root: str | Location, config: StorageConfig | None = None) -> str:
    """The version that was committed last (of one second: the last in natural order).

    Raises:
        ObjectNotFound: no version is there.
    """
    found = _listed(root, config)
    if not found:
        raise ObjectNotFound("Nothing has been published here.", where=str(Location.parse(root)))
    return max(found, key=lambda item: (item[1], _natural(item[0])))[0]


def version_name(version: str) -> str:
    """Check a version's name; raises SpecError."""
    if not _VERSION.fullmatch(version):
        raise SpecError(
            f"{version!r} cannot be a version.",
            expected="1 to 63 letters, digits, '.', '_' or '-', with a letter or digit at both ends",
        )
    return version


def _upload_and_commit(store: Store, ours: Manifest, files: Mapping[str, bytes | Path]) -> Manifest:
    """Returns the manifest that is committed in the end: ours, or that of who was faster."""
    own = [ours.key(file) for file in ours.files]
    try:
        for file in ours.files:
            store.put(ours.key(file), files[file.path])
    except BaseException:
        _remove(store, own)
        raise
    try:
        there = commit(store, ours)
    except StorageError:
        _remove(store, own)
        raise
    if there.raw != ours.raw:
        _remove(store, own)
    return there


def commit(store: Store, ours: Manifest) -> Manifest:
    """Make a version visible, the files of which are all there, by the one conditional put of its manifest.

    Returns:
        The manifest that is there in the end: ours, or that of who was faster.

    Raises:
        StorageError: nothing is visible.
    """
    try:
        won = store.put_if_absent(MANIFEST, ours.raw)
    except StorageError as error:
        # The answer may be lost, not the write: only an absent manifest proves that nothing is visible.
        there = committed(store)
        if there is None:
            raise error
        won = there.raw == ours.raw
    if not won:
        there = Manifest.parse(store.get(MANIFEST), f"{store.location}/{MANIFEST}")
        if there.raw != ours.raw:  # else our own first try was written and its answer lost
            return there
    own = {MANIFEST, *(ours.key(file) for file in ours.files)}
    _remove(store, [info.key for info in store.objects() if info.key not in own])
    return ours


def committed(store: Store) -> Manifest | None:
    """Return the manifest of a version; None where nothing has been committed."""
    try:
        return Manifest.parse(store.get(MANIFEST), f"{store.location}/{MANIFEST}")
    except ObjectNotFound:
        return None


def _remove(store: Store, keys: list[str]) -> None:
    """Remove what nobody can see; what stays is litter, not an error."""
    try:
        store.delete(keys)
    except StorageError:
        return


def _describe(path: str, content: bytes | Path) -> File:
    if isinstance(content, bytes):
        return File(path, hashlib.sha256(content).hexdigest(), len(content))
    try:
        with content.open("rb") as stream:
            return File(path, hashlib.file_digest(stream, "sha256").hexdigest(), content.stat().st_size)
    except OSError as error:
        raise StorageError(f"The file cannot be read: {error.strerror}.", where=str(content)) from None


def _fetch(store: Reader, manifest: Manifest, file: File, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256, size, key = hashlib.sha256(), 0, manifest.key(file)
    with target.open("wb") as stream:
        for piece in _pieces(store, manifest, file):
            sha256.update(piece)
            size += len(piece)
            if size > file.size:
                break  # another file, however long it may be
            stream.write(piece)
    check_file(file, sha256.hexdigest(), size, f"{store.location}/{key}")


def _pieces(store: Reader, manifest: Manifest, file: File) -> Iterator[bytes]:
    """The file's bytes; a version that was downloaded, and is served as it lay there, has no run's folder."""
    try:
        yield from store.chunks(manifest.key(file))
    except ObjectNotFound as missing:
        try:
            yield from store.chunks(file.path)
        except ObjectNotFound:
            raise missing from None


def _listed(root: str | Location, config: StorageConfig | None) -> list[tuple[str, datetime]]:
    objects = Store(root, config).objects()
    parts = ((info.key.split("/"), info.modified) for info in objects)
    return [(key[0], modified) for key, modified in parts if len(key) == 2 and key[1] == MANIFEST]


def _no_version(place: Location, config: StorageConfig | None) -> Mlk8sError:
    try:
        there = [] if place.scheme == "https" else versions(place.parent, config)
    except AccessDenied:
        there = []
    if there:
        expected, next_step = f"one of {', '.join(there[-8:])}", None
    else:
        expected, next_step = (
            f"a version below {place.parent}",
            "see whether the address is right",
        )
    return ObjectNotFound(
        f"There is no version {place.name!r}.", where=str(place), expected=expected, next_step=next_step
    )


def _natural(version: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts if part]
