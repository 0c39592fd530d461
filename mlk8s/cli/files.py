"""Files that a user names: one that cannot be read is told before a cluster is looked for."""

from __future__ import annotations

from pathlib import Path

from mlk8s.errors import UsageError


def read_bytes(path: str | Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UsageError: it cannot be read; names it.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the file: {error.strerror}", where=str(path)) from None


def read_utf8(path: str | Path) -> str:
    """Return a file's text, without a byte order mark.

    Raises:
        UsageError: it cannot be read, or is not UTF-8; names it.
    """
    try:
        return read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UsageError("cannot read the file: it is not UTF-8 text", where=str(path)) from None
