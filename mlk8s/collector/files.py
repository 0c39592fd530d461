"""The kubelet's log files: which there are, what they are called for ever, and their lines from a place on.

    /var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTART.log                      written now
    /var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTART.log.20261124-001500      rotated
    /var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTART.log.20261124-001000.gz   rotated before that

Each line is in the CRI's form: time, stream, P (partial) or F (full), text. What looks like a
secret in a line is replaced: what is stored is searched by many.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from mlk8s.secrecy import redact
from mlk8s.storage.log_lines import Record, utc_nanoseconds

_NAME = re.compile(r"(\d+)\.log(\.\d{8}-\d{6}(\.gz)?)?")
_HEAD = 4096  # bytes that surely hold the time of a file's first line


class Source(NamedTuple):
    """One container's log directory."""

    namespace: str
    pod: str
    uid: str
    container: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive lines of one day: the records, and the place after the last."""

    records: list[Record]
    end: int


def sources(root: Path) -> Iterator[tuple[Source, Path]]:
    """Yield each container that has a log directory; what goes away meanwhile is left out."""
    for pod in _listed(root):
        parts = pod.name.split("_")
        if len(parts) == 3:
            for container in _listed(Path(pod.path)):
                yield Source(parts[0], parts[1], parts[2], container.name), Path(container.path)


def log_files(directory: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the log files of one container, rotated ones included."""
    for entry in _listed(directory):
        if _NAME.fullmatch(entry.name):
            yield entry


def _listed(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


class LogFile:
    """One file, kept open: it can be read to its end even after the kubelet has removed it."""

    def __init__(self, source: Source, path: Path) -> None:
        self.source = source
        self.waiting_since: float | None = None
        self._restart = path.name.partition(".")[0]
        self._raw: IO[bytes] = path.open("rb")
        self._packed = path.name.endswith(".gz")
        self._data: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if self._packed else self._raw  # type: ignore[assignment]
        self._name: str | None = None
        self._size: int | None = None

    @property
    def name(self) -> str | None:
        """UID, restart and time of the first line: the same after a rotation; None before there is a line."""
        if self._name is None:
            self._data.seek(0)
            head = self._data.read(_HEAD)
            first = utc_nanoseconds(head.partition(b" ")[0].decode("ascii", "replace"))
            mark = None
            if first is not None and b" " in head:
                mark = re.sub(r"[^0-9]", "", first)
            elif b"\n" in head or len(head) == _HEAD:  # no log in the CRI's form: known by its first line
                mark = hashlib.sha256(head.partition(b"\n")[0]).hexdigest()[:20]
            if mark is not None:
                self._name = f"{self.source.uid[:13]}-{self._restart}-{mark}"
        return self._name

    @property
    def size(self) -> int:
        """Bytes of log, not packed."""
        if not self._packed:
            return os.fstat(self._raw.fileno()).st_size
        if self._size is None:
            self._size = self._data.seek(0, os.SEEK_END)
        return self._size

    @property
    def gone(self) -> bool:
        """Whether the kubelet has removed it."""
        return os.fstat(self._raw.fileno()).st_nlink == 0

    def read(self, start: int, limit: int, final: bool) -> Lines | None:
        """Return lines from a place on: whole ones, of one day, of at most `limit` bytes (or one line).

        Args:
            final: nothing will be added any more, so that a last line without its end counts, too.
        """
        self._data.seek(start)
        data = self._data.read(limit)
        whole = data.rfind(b"\n") + 1
        if whole == 0:
            whole = len(data) if final or len(data) == limit else 0
        if whole == 0:
            return None
        return _parse(data[:whole], start, keep_partial=final or len(data) == limit)

    def close(self) -> None:
        self._data.close()
        self._raw.close()


def _parse(data: bytes, start: int, keep_partial: bool) -> Lines | None:
    """Turn CRI lines into records; a line in several parts becomes one, and no byte is left out.

    Args:
        keep_partial: whether parts whose last one has not come yet count where they are all there is.
    """
    records: list[Record] = []
    parts: dict[str, tuple[str, int, list[str]]] = {}  # by stream: time, place and text of what goes on
    place = end = start
    whole = 0  # records before `end`, where no line is in parts
    for raw in data.removesuffix(b"\n").split(b"\n"):
        moment, stream, more, text = _line(raw, records)
        if records and not parts and moment[:10] != records[0].time[:10]:
            break
        head = parts.setdefault(stream, (moment, place, []))
        head[2].append(text)
        place += len(raw) + 1
        if not more:
            del parts[stream]
            records.append(Record(head[0], stream, head[1], redact("".join(head[2]))))
        if not parts:
            end, whole = place, len(records)
    if keep_partial and not whole:
        for name, (first, at, pieces) in parts.items():
            records.append(Record(first, name, at, redact("".join(pieces))))
        end, whole = place, len(records)
    kept = sorted(records[:whole], key=lambda record: record.offset)
    return Lines(kept, min(end, start + len(data))) if kept else None


def _line(raw: bytes, before: list[Record]) -> tuple[str, str, bool, str]:
    """Return time, stream, whether more parts follow, and text; what is no CRI line is kept as it is."""
    text = raw.removesuffix(b"\n").decode("utf-8", "backslashreplace")
    fields = text.split(" ", 3)
    moment = utc_nanoseconds(fields[0])
    if moment is None or len(fields) < 3 or fields[1] not in ("stdout", "stderr"):
        return before[-1].time if before else "1970-01-01T00:00:00.000000000Z", "unknown", False, text
    return moment, fields[1], fields[2].split(":")[0] == "P", fields[3] if len(fields) == 4 else ""
