"""Where downloaded and built things are kept, and how they get there whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def cache_dir() -> Path:
    """`$MLK8S_CACHE`, else `$XDG_CACHE_HOME/mlk8s`, else `~/.cache/mlk8s`; made if it is not there.

    Raises:
        LocalClusterError: it cannot be made.
    """
    own = os.environ.get("MLK8S_CACHE")
    path = Path(own or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlk8s")
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)
    return path.absolute()


def architecture() -> str:
    """This machine's architecture in the words of Go and Kubernetes: `amd64` or `arm64`.

    Raises:
        LocalClusterError: for a processor that the parts are not published for.
    """
    machine = platform.machine().lower()
    try:
        return _ARCHITECTURES[machine]
    except KeyError:
        raise LocalClusterError(
            f"The local cluster's parts are not published for this processor: {machine}.",
            expected="x86_64 or aarch64",
            next_step="Use a cluster elsewhere: mlk8s deploy --context NAME",
        ) from None


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`; `waiting` is called once if another process holds it.

    The lock goes with the process, however it ends, so nobody waits for the dead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Share a lock file with all who use the same thing; `unused` then fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Say whether nobody is inside `in_use` of the same path, and keep it so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a file or folder at, and rename it to `target` at the end.

    What an exception or a kill leaves behind never has the name `target`. The caller holds the lock of
    `target`, so a leftover of an earlier attempt belongs to nobody and is removed first.

    Raises:
        LocalClusterError: the disk is full, or does not take it for another reason.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    with _told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(unfinished)
        try:
            yield unfinished
            remove(target)
            unfinished.rename(target)
        finally:
            remove(unfinished)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into the one error that users meet."""
    try:
        yield
    except OSError as error:
        raise LocalClusterError(
            f"The cache cannot be written: {error.strerror or error}.",
            where=str(error.filename or path),
            expected="about 10 GB of free disk where builds are needed, 3 GB where not",
            next_step="Make room, or choose another place: MLK8S_CACHE=/path mlk8s up",
        ) from error


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing happens if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def text_digest(*parts: str) -> str:
    """Hexadecimal SHA-256 of texts, each told apart from the next."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()
