"""Log lines in object storage: what the collector writes and `search` reads.

    ROOT/lines/DATE/NAMESPACE/POD/CONTAINER/BEGIN_FILE_START.jsonl.gz
    ROOT/state/NODE.json

DATE and BEGIN are those of the object's first line, in UTC. FILE names one log file for ever (the pod's UID,
the container's restart, the time of the file's first line), and START is the place of the object's first line
in it, in bytes. Every line carries its own place: a line that was shipped twice is told once.
"""

from __future__ import annotations

import gzip
import heapq
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import NamedTuple

from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.location import Location
from mlk8s.storage.store import Store

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_KEY = re.compile(
    r"lines/(\d{4}-\d\d-\d\d)/([^/]+)/([^/]+)/([^/]+)/(\d{6}\.\d{9})_([^/_]+)_(\d{12})\.jsonl\.gz"
)


class Record(NamedTuple):
    """One line as it is stored: time (RFC 3339, UTC, nanoseconds), stream, place in its file, text."""

    time: str
    stream: str
    offset: int
    line: str


class LogLine(NamedTuple):
    """One line that was found; `time` is in UTC."""

    time: datetime
    namespace: str
    pod: str
    container: str
    line: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """One object: consecutive lines of one file, all of one day."""

    namespace: str
    pod: str
    container: str
    file: str
    begin: str
    start: int

    @property
    def key(self) -> str:
        """The object's key below the root."""
        clock = self.begin[11:-1].replace(":", "")
        place = f"{self.namespace}/{self.pod}/{self.container}"
        return f"lines/{self.begin[:10]}/{place}/{clock}_{self.file}_{self.start:012d}.jsonl.gz"

    @classmethod
    def parse(cls, key: str) -> Chunk | None:
        """Return what a key says; None where it is none of ours."""
        found = _KEY.fullmatch(key)
        if not found:
            return None
        date, namespace, pod, container, clock, file, start = found.groups()
        begin = f"{date}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z"
        return cls(namespace, pod, container, file, begin, int(start))


def utc_nanoseconds(text: str) -> str | None:
    """Return an RFC 3339 time in UTC with nine digits, so that texts compare as times; None if it is none."""
    found = _TIME.fullmatch(text)
    if not found:
        return None
    seconds, fraction, zone = found[1], (found[2] or "").ljust(9, "0"), found[3]
    if zone != "Z" and zone[1:] != "00:00":
        then = datetime.fromisoformat(seconds + zone).astimezone(UTC)
        seconds = then.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{fraction}Z"


def stamp(when: datetime) -> str:
    """Return a time in the form of `utc_nanoseconds`."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def encode(records: Iterable[Record]) -> bytes:
    """Return the object's bytes; the same records give the same bytes."""
    lines = "".join(json.dumps(record._asdict(), ensure_ascii=False) + "\n" for record in records)
    return gzip.compress(lines.encode(), 6, mtime=0)


def decode(data: bytes) -> Iterator[Record]:
    """Yield the records of an object."""
    for line in gzip.decompress(data).decode().removesuffix("\n").split("\n"):
        yield Record(**json.loads(line))


def search(
    root: str | Location,
    pattern: re.Pattern[str],
    *,
    namespace: str | None = None,
    pod: str | re.Pattern[str] | None = None,
    container: str | None = None,
    since: datetime | None = None,
    until: datetime,
    config: StorageConfig | None = None,
) -> Iterator[LogLine]:
    """Yield the lines that match, oldest first, each once; reads objects only as far as they are asked for.

    Args:
        root: where the collector writes, `s3://logs/pods`.
        pattern: looked for anywhere in a line.
        namespace, container: exact names, or with `*` and `?`.
        pod: the same, or a pattern for the whole name.
        since, until: the first moment, and the one after the last.

    Raises:
        StorageError: object storage refused, or did not answer.
    """
    store = Store(root, config)
    first, last = stamp(since) if since else "", stamp(until)
    by_file: dict[str, list[Chunk]] = {}
    for chunk in _chunks(store, since, until):
        wanted = _is(chunk.namespace, namespace) and _is(chunk.pod, pod) and _is(chunk.container, container)
        if wanted and chunk.begin < last:
            by_file.setdefault(chunk.file, []).append(chunk)
    files = sorted(by_file.values(), key=lambda chunks: chunks[0].begin)
    heap: list[tuple[str, int, Record, Chunk, Iterator[tuple[Record, Chunk]]]] = []
    for number, chunks in enumerate(files):
        yield from _drain(heap, pattern, first, last, chunks[0].begin)
        _push(heap, number, _records(store, sorted(chunks, key=lambda chunk: chunk.start), first))
    yield from _drain(heap, pattern, first, last, None)


def _chunks(store: Store, since: datetime | None, until: datetime) -> Iterator[Chunk]:
    prefixes = ["lines/"]
    if since is not None:
        day, end = since.astimezone(UTC).date(), until.astimezone(UTC).date()
        days = (end - day).days + 1
        if days <= 100:  # else one listing of everything is quicker
            prefixes = [f"lines/{day + timedelta(number)}/" for number in range(max(0, days))]
    for prefix in prefixes:
        for info in store.objects(prefix):
            chunk = Chunk.parse(info.key)
            if chunk is not None:
                yield chunk


def _is(name: str, wanted: str | re.Pattern[str] | None) -> bool:
    if isinstance(wanted, re.Pattern):
        return wanted.fullmatch(name) is not None
    return wanted is None or fnmatchcase(name, wanted)


def _records(store: Store, chunks: Sequence[Chunk], first: str) -> Iterator[tuple[Record, Chunk]]:
    """Yield the records of one file in order, each place once; objects that end before `first` are left."""
    ends_early = {chunk for chunk, after in pairwise(chunks) if after.begin <= first}
    end = 0
    for chunk in chunks:
        if chunk in ends_early:
            continue
        for record in decode(store.get(chunk.key)):
            if record.offset >= end:
                end = record.offset + 1
                yield record, chunk


def _push(
    heap: list[tuple[str, int, Record, Chunk, Iterator[tuple[Record, Chunk]]]],
    number: int,
    records: Iterator[tuple[Record, Chunk]],
) -> None:
    found = next(records, None)
    if found is not None:
        heapq.heappush(heap, (found[0].time, number, *found, records))


def _drain(
    heap: list[tuple[str, int, Record, Chunk, Iterator[tuple[Record, Chunk]]]],
    pattern: re.Pattern[str],
    first: str,
    last: str,
    bound: str | None,
) -> Iterator[LogLine]:
    """Yield what lies before `bound`; a file that has come to `last` is not read on."""
    while heap and (bound is None or heap[0][0] < bound):
        time, number, record, chunk, records = heapq.heappop(heap)
        if time >= last:
            continue
        if time >= first and pattern.search(record.line):
            moment = datetime.fromisoformat(time[:26] + "+00:00")
            yield LogLine(moment, chunk.namespace, chunk.pod, chunk.container, record.line)
        _push(heap, number, records)
