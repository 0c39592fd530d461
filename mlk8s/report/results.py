"""Reads a run directory's JSON lines, also while they are written and after a kill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TypeVar

from mlk8s.loadgen.histogram import merged, quantiles
from mlk8s.loadgen.tail import Line, read_lines

Key = TypeVar("Key", int, str)
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass
class Counts:
    """Requests that ended in some time: how many by outcome, and the latency of those with a right answer."""

    outcomes: dict[str, int] = field(default_factory=dict)
    histogram: dict[int, int] = field(default_factory=dict)
    """Latency of right answers only: a refusal after a millisecond must not make the service look fast."""
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def error_rate(self) -> float | None:
        """Share of requests without a right answer, 0 to 1; None without requests."""
        return (self.total - self.ok) / self.total if self.total else None

    def percentiles(self) -> dict[str, float | None]:
        """Latency percentiles in seconds."""
        return dict(zip(PERCENTILES, quantiles(self.histogram, PERCENTILES.values()), strict=True))

    def add(self, other: Counts) -> None:
        """Add the requests of another time."""
        _add(self.outcomes, other.outcomes)
        _add(self.histogram, other.histogram)
        _add(self.versions, other.versions)

    def take(self, line: Line) -> None:
        """Add one line of the recorder."""
        outcome, count = line["outcome"], line["count"]
        _add(self.outcomes, {outcome: count})
        if line["version"]:
            _add(self.versions, {line["version"]: count})
        if outcome == "ok":
            _add(self.histogram, _numbered(line["hist"]))


def together(several: Iterable[Counts]) -> Counts:
    """Return the requests of several times as those of one."""
    found = list(several)
    total = Counts(histogram=merged(counts.histogram for counts in found))
    for counts in found:
        _add(total.outcomes, counts.outcomes)
        _add(total.versions, counts.versions)
    return total


@dataclass
class Results:
    """All lines of the load generator by second since the epoch."""

    load: dict[int, Line] = field(default_factory=dict)
    """users, offered (None for a closed loop), sent, in_flight and waiting in each second, and the lag's
    buckets"""
    requests: dict[int, Counts] = field(default_factory=dict)

    def take(self, line: Line) -> None:
        """Add one line; those of several processes are added up."""
        second = int(line["t"])
        if line["kind"] == "load":
            known = self.load.get(second, {})
            names = ("users", "sent", "in_flight", "waiting")
            self.load[second] = {name: known.get(name, 0) + line[name] for name in names}
            self.load[second]["lag"] = lag = dict(known.get("lag", {}))
            _add(lag, _numbered(line["lag"]))
            rates = [rate for rate in (known.get("offered"), line["offered"]) if rate is not None]
            self.load[second]["offered"] = sum(rates) if rates else None
        else:
            self.requests.setdefault(second, Counts()).take(line)

    def between(self, begin: float, end: float) -> Counts:
        """Return the requests that ended in [begin, end), in seconds since the epoch."""
        return together(counts for second, counts in self.requests.items() if begin <= second < end)

    def during(self, begin: float, end: float = inf) -> Results:
        """Return the results of [begin, end), in seconds since the first second of load."""
        first = min(self.load, default=0)
        return Results(
            {second: load for second, load in self.load.items() if begin <= second - first < end},
            {second: counts for second, counts in self.requests.items() if begin <= second - first < end},
        )

    def lag(self) -> dict[str, float | None]:
        """Return percentiles of how late requests were sent or queued, in seconds."""
        total = merged(load["lag"] for load in self.load.values())
        return dict(zip(PERCENTILES, quantiles(total, PERCENTILES.values()), strict=True))

    def blocks(self, length: int) -> list[Counts]:
        """Return the requests of whole blocks of `length` seconds, from the first second of load on."""
        begin, end = min(self.load, default=0), max(self.load, default=-1) + 1
        return [self.between(t, t + length) for t in range(begin, end - length + 1, length)]

    @classmethod
    def read(cls, directory: Path) -> Results:
        """Read every requests-*.jsonl of a run directory."""
        results = cls()
        for file in sorted(directory.glob("requests-*.jsonl")):
            for line in read_lines(file):
                results.take(line)
        return results


def _numbered(histogram: dict[str, int]) -> dict[int, int]:
    return dict(zip(map(int, histogram), histogram.values(), strict=True))


def _add(total: dict[Key, int], other: dict[Key, int]) -> None:
    if not total:
        total.update(other)
        return
    for name, count in other.items():
        total[name] = total.get(name, 0) + count
