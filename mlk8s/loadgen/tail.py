"""Reads files of JSON lines, also while they are written and after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

Line = dict[str, Any]


def read_lines(file: Path) -> Iterator[Line]:
    """Yield the lines of a JSONL file; a last line that was cut off by a kill is left out."""
    tail = Tail(lambda: [file])
    yield from tail.new()


class Tail:
    """Reads what was added to growing JSONL files since the last call.

    Args:
        files: gives the files there are now.
    """

    def __init__(self, files: Callable[[], list[Path]]) -> None:
        self._files = files
        self._places: dict[Path, int] = {}

    def new(self) -> Iterator[Line]:
        """Yield the lines that were completed since the last call."""
        for path in self._files():
            try:
                with path.open("rb") as file:
                    file.seek(self._places.get(path, 0))
                    data = file.read()
            except FileNotFoundError:
                continue
            whole = data[: data.rfind(b"\n") + 1]
            self._places[path] = self._places.get(path, 0) + len(whole)
            for text in whole.splitlines():
                try:
                    line = orjson.loads(text)
                except orjson.JSONDecodeError:
                    continue  # the disk was full in the middle of a line; the next one is whole again
                if isinstance(line, dict):
                    yield line
