"""Keeps a few answers of each kind as they came, so that a person can look at what a wrong one was."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from time import time

import orjson

from mlk8s.secrecy import redact

_EACH = 3
"""Answers kept of one outcome and status."""
_LENGTH = 2048
"""Characters kept of a body."""
_HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate"})
"""Headers whose values are never kept."""


class Samples:
    """Appends the first answers of each outcome to one file; of equal ones it is given only the first.

    Args:
        path: JSON lines {"t", "outcome", "status", "headers": [[name, value]], "body"}; made with the first
            one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: Counter[tuple[str, int]] = Counter()

    def take(self, outcome: str, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Keep an answer, unless there are enough like it."""
        if self._kept[outcome, status] >= _EACH:
            return
        self._kept[outcome, status] += 1
        shown = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        line = {
            "t": round(time(), 3), "outcome": outcome, "status": status,
            "headers": [(name, "…" if name.lower() in _HIDDEN else redact(value)) for name, value in shown],
            "body": redact(body[:_LENGTH].decode("utf-8", "replace")),
        }  # fmt: skip
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, orjson.dumps(line) + b"\n")
            finally:
                os.close(file)
        except OSError:
            pass  # a full disk: the recorder says so, and its counts are what matters
