"""Workers whose share of the load is missing: those whose results end before the others'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from mlk8s.loadgen.tail import Line

_END = 2**16
"""Bytes at the end of a file that hold its last second."""
_NUMBER = re.compile(r"-(\d+)-\d+\.jsonl")
_WORDS = {2: "half", 3: "a third", 4: "a quarter"}
_SLACK, _LIVE = 1.5, 5.0
"""Seconds that workers may end apart; and while the test still runs, seconds that results may be late."""


@dataclass(frozen=True)
class Lost:
    """One worker's missing share.

    Attributes:
        worker: its number, from 1.
        of: how many workers there were.
        at: second since the epoch from which on nothing of it is there; None: nothing ever was.
        why: the reason, where it was seen.
    """

    worker: int
    of: int
    at: int | None
    why: str | None

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        part = part_words(1, self.of)
        if self.at is None:
            return f"worker {self.worker} of {self.of} sent nothing{why}: {part} of the load is missing"
        moment = datetime.fromtimestamp(self.at, UTC).strftime("%H:%M:%S")
        who = f"worker {self.worker} of {self.of}"
        return f"{who} died at {moment} UTC{why}: {part} of the load is missing from then on"


def part_words(count: int, of: int) -> str:
    """Return a part of a whole in words."""
    return "all" if count >= of else _WORDS.get(of, f"1/{of}") if count == 1 else f"{count}/{of}"


def lost_shares(directory: Path, facts: Mapping[str, Any], duration: float) -> list[Lost]:
    """Return the workers whose results end before the load did.

    Args:
        facts: of the run; only those of a load test with workers in a cluster tell their number.
        duration: seconds of the whole profile.
    """
    workers = facts.get("workers")
    if not workers:
        return []
    count, reasons = int(workers["count"]), workers.get("lost") or {}
    ends: dict[int, int] = {}
    starts = []
    for file in directory.glob("requests-*.jsonl"):
        number, seconds = _NUMBER.search(file.name), _seconds(file)
        if number is not None and seconds is not None:
            ends[int(number[1]) + 1] = seconds[1] + 1
            starts.append(seconds[0])
    if not ends:
        return []
    slack = _SLACK if facts.get("ended") else _LIVE
    over = min(min(starts) + duration, max(ends.values())) - slack
    return [
        Lost(worker, count, ends.get(worker), reasons.get(str(worker)))
        for worker in range(1, count + 1)
        if ends.get(worker, 0) < over
    ]


def _seconds(file: Path) -> tuple[int, int] | None:
    """Return the first and the last second of a results file without reading all of it."""
    with file.open("rb") as stream:
        first = stream.readline()
        stream.seek(max(0, file.stat().st_size - _END))
        rest = stream.read().splitlines()
    found = [line for line in map(_line, (first, *rest[::-1])) if line is not None]
    return (int(found[0]["t"]), int(found[1]["t"])) if len(found) > 1 else None


def _line(text: bytes) -> Line | None:
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None  # cut off at its end by a kill, or at its beginning by us
    return line if isinstance(line, dict) and "t" in line else None
