"""A disk that is full: said as soon as it is seen, and an error in words where nothing more can be done."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlk8s.errors import LoadTestError

_FEW = 64 * 1024
"""Bytes below which a disk counts as full: a second of results is some thousand."""

_KINDS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOENT, errno.EACCES)


class Disk:
    """The disk that a load test writes to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._full = False

    def change(self) -> str | None:
        """Return what is to be said when it has become full, or has room again; None in between."""
        try:
            full = shutil.disk_usage(self._directory).free < _FEW
        except OSError:
            return None  # the directory is gone: whoever writes there says so
        if full == self._full:
            return None
        self._full = full
        if full:
            return f"the disk of {self._directory} is full: results wait in memory until there is room"
        return f"the disk of {self._directory} has room again: what waited is written"


@contextmanager
def told(directory: Path) -> Iterator[None]:
    """Turn what keeps results from being written into an error that says what to do.

    Raises:
        LoadTestError: the disk is full, read-only, or the directory gone.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _KINDS:
            raise
        raise LoadTestError(
            f"results cannot be written: {error.strerror}",
            where=str(directory),
            expected="some megabytes of room",
            next_step=f"make room; what is there already: mlk8s.Run.open({str(directory)!r})",
        ) from None
