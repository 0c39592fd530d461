"""Downloads of release archives: resumable, checked, and given up quickly where there is no way out.

`MLK8S_DOWNLOADS` changes where they come from: `off` for none, or the address of a mirror, below which lie
the official hosts as folders (`http://mirror/dl.k8s.io/v1.35.4/...`).
"""

from __future__ import annotations

import os
import shutil
import socket
import tarfile
import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlk8s.local.cache import cache_dir, file_digest, text_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlk8s.local.pins import Archive
    from mlk8s.local.progress import Step

CONNECT_SECONDS = 4.0
"""How long an address may take to accept a connection; a machine without a way out loses this once a host."""

_READ_SECONDS = 30.0
_CHUNK = 1 << 20
_refusing: set[str] = set()  # hosts that did not answer: not asked again in this process


class Unavailable(Exception):
    """A download cannot be had here; its message says why, and the caller has another way."""


def mirrored(url: str) -> str:
    """The address to ask instead of `url`, as `MLK8S_DOWNLOADS` wants it.

    Raises:
        Unavailable: downloads are switched off.
    """
    wish = os.environ.get("MLK8S_DOWNLOADS", "")
    if wish == "off":
        raise Unavailable("downloads are switched off by MLK8S_DOWNLOADS")
    parts = urlsplit(url)
    return f"{wish.rstrip('/')}/{parts.netloc}{parts.path}" if wish else url


def _connects(host: str, port: int) -> bool:
    """Whether a connection can be made in time, the name look-up included."""
    done = threading.Event()

    def attempt() -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
        except OSError:
            return
        done.set()

    thread = threading.Thread(target=attempt, daemon=True)  # a name look-up cannot be interrupted
    thread.start()
    thread.join(CONNECT_SECONDS)
    return done.is_set()


def check_host(url: str) -> None:
    """Ask the host of a mirrored address for a connection, once a process if it refuses.

    Raises:
        Unavailable: it does not accept one in `CONNECT_SECONDS`.
    """
    parts = urlsplit(url)
    if parts.scheme in urllib.request.getproxies():
        return
    if parts.netloc in _refusing or not _connects(
        parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    ):
        _refusing.add(parts.netloc)
        raise Unavailable(f"{parts.hostname} cannot be reached")


def _read(url: str) -> bytes:
    check_host(url)
    try:
        with urllib.request.urlopen(url, timeout=_READ_SECONDS) as answer:  # noqa: S310 (the address is in pins.py)
            return bytes(answer.read(_CHUNK))
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{url}: {error}") from error


def _append(url: str, target: Path, step: Step) -> None:
    """Fetch what `target` does not have yet of `url`, from the start if the server cannot resume."""
    check_host(url)
    have = target.stat().st_size if target.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the address is in pins.py)
    try:
        with urllib.request.urlopen(request, timeout=_READ_SECONDS) as answer:  # noqa: S310
            have = have if answer.status == 206 else 0
            length = int(answer.headers.get("Content-Length") or 0)
            step.update(done=have, total=have + length if length else None)
            with target.open("ab" if have else "wb") as file:
                while chunk := answer.read1(_CHUNK):  # what has come, so that a kill loses little
                    file.write(chunk)
                    step.advance(len(chunk))
                    length -= len(chunk)
        if length > 0:
            raise Unavailable(f"{url}: the answer ended {length} bytes early")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is missing, or what is here is of another file; the digest tells
            raise Unavailable(f"{url}: {error}") from error
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{url}: {error}") from error


def published_checksum(text: str, file_name: str) -> str | None:
    """The checksum of `file_name` in a published text, as `sha256:HEX`: one hash, or `HASH  NAME` lines."""
    for line in text.splitlines():
        words = line.split()
        if words and (len(words) == 1 or words[-1].lstrip("*").rsplit("/", 1)[-1] == file_name):
            return f"sha256:{words[0].lower()}" if len(words[0]) == 64 else None
    return None


def _expected_checksum(archive: Archive, architecture: str) -> str:
    if architecture in archive.checksums:
        return archive.checksums[architecture]
    if archive.published is None:
        raise Unavailable(f"no checksum is known for {architecture}")
    name = archive.url.format(arch=architecture).rsplit("/", 1)[-1]
    address = mirrored(archive.published.format(arch=architecture))
    checksum = published_checksum(_read(address).decode(errors="replace"), name)
    if checksum is None:
        raise Unavailable(f"{address} has no checksum of {name}")
    return checksum


def fetch(archive: Archive, architecture: str, step: Step) -> Path:
    """Download an archive, going on where an earlier attempt ended, and check it.

    Returns:
        The file; the caller removes it when it is unpacked.

    Raises:
        Unavailable: no connection, an error status, an answer cut short, or a wrong checksum.
    """
    url = mirrored(archive.url.format(arch=architecture))
    expected = _expected_checksum(archive, architecture)
    algorithm, digest = expected.split(":")
    target = cache_dir() / "downloads" / text_digest(url, expected)[:16]
    target.parent.mkdir(parents=True, exist_ok=True)
    resumed = target.exists()
    _append(url, target, step)
    if file_digest(target, algorithm) != digest and resumed:
        target.unlink()  # the file has changed between two attempts: once more, from its start
        _append(url, target, step)
    found = file_digest(target, algorithm)
    if found != digest:
        target.unlink()
        raise Unavailable(f"{url} has the wrong checksum: {algorithm} {found[:16]}…, not {digest[:16]}…")
    return target


def extract(file: Path, members: Mapping[str, str], architecture: str, folder: Path) -> None:
    """Write the named members of a tar.gz as executable files into `folder`.

    Args:
        members: path inside the archive by file name; `{arch}` is replaced.

    Raises:
        Unavailable: a member is missing, or the file is no archive.
    """
    wanted = {path.format(arch=architecture): name for name, path in members.items()}
    try:
        with tarfile.open(file, "r|gz") as tar:
            for entry in tar:
                name = wanted.pop(entry.name.removeprefix("./"), None)
                content = tar.extractfile(entry) if name else None
                if name and content:
                    with (folder / name).open("wb") as target:
                        shutil.copyfileobj(content, target, _CHUNK)
                    (folder / name).chmod(0o755)
                if not wanted:
                    return
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Unavailable(f"the archive cannot be read: {error}") from error
    raise Unavailable(f"the archive has no {', '.join(sorted(wanted))}")
