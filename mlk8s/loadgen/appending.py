"""Appends to a file so that a full disk costs nothing: what it did not take stays, and goes with the next."""

from __future__ import annotations

import os
from pathlib import Path


class Appender:
    """One file that only grows, by whole pieces.

    Args:
        path: the file; made.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.kept = b""
        """What a full disk did not take."""

    def append(self, data: bytes) -> None:
        """Write what was kept and `data`, all of it or nothing.

        Raises:
            OSError: when the disk is full; what was not written stays in memory and goes with the next piece.
        """
        self.kept += data
        if not self.kept:
            return
        done = os.write(self._file, self.kept)
        if done < len(self.kept):  # a nearly full disk takes a part: take it back, so that no half line stays
            os.ftruncate(self._file, os.fstat(self._file).st_size - done)
            raise OSError(28, "no space left on device")
        self.kept = b""

    def close(self) -> None:
        """Close the file; what is still kept is lost."""
        os.close(self._file)
