"""What was counted: requests, failed ones and slow ones, by version and block of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Requests of one version in one block of time.

    Attributes:
        requests: answered ones, rightly or not.
        errors: those without a right answer (status 500 and above), at most `requests`.
        slow: by percentile name of the SLO ('p99'): those with a right answer that took longer than the
            percentile's bound, at most `requests - errors`.
        buckets: right answers by bucket of the histogram, not cumulative, the last above all edges; empty
            where they were not read.
    """

    requests: int = 0
    errors: int = 0
    slow: Mapping[str, int] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()

    def of(self, metric: str) -> tuple[int, int]:
        """Return (bad, all) requests of a metric: of 'errors' all requests count, of a percentile only those
        with a right answer."""
        if metric == "errors":
            return self.errors, self.requests
        return self.slow.get(metric, 0), self.requests - self.errors

    def __add__(self, other: Counts) -> Counts:
        names = self.slow.keys() | other.slow.keys()
        slow = {name: self.slow.get(name, 0) + other.slow.get(name, 0) for name in sorted(names)}
        one, two = self.buckets or (0,) * len(other.buckets), other.buckets or (0,) * len(self.buckets)
        # Blocks of two histograms with other edges have no common one.
        buckets = tuple(map(sum, zip(one, two, strict=True))) if len(one) == len(two) else ()
        return Counts(self.requests + other.requests, self.errors + other.errors, slow, buckets)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {"requests": self.requests, "errors": self.errors, "slow": dict(self.slow)}
        return values | ({"buckets": list(self.buckets)} if self.buckets else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Counts:
        """Make it of what `to_dict` returned."""
        slow, buckets = dict(values.get("slow") or {}), tuple(values.get("buckets") or ())
        return cls(values["requests"], values["errors"], slow, buckets)


@dataclass(frozen=True)
class Block:
    """One block of time: the unit of evidence.

    Attributes:
        start: seconds since the epoch.
        seconds: its length.
        weight: percent that the canary had in it.
        canary, stable: what was counted; zero requests where nothing came.
        notes: what was not as it should be (a counter reset, a late scrape, a series that went stale), a
            sentence each.
        missing: nothing could be read: neither a pass nor a failure; it only lets time go by.
        cause: why, where it is missing: who did not answer, or which metric of which pod is no count.
    """

    start: float
    seconds: float
    weight: int
    canary: Counts = Counts()
    stable: Counts = Counts()
    notes: tuple[str, ...] = ()
    missing: bool = False
    cause: str = ""

    @property
    def end(self) -> float:
        """Second since the epoch at which it ends."""
        return self.start + self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {
            "start": self.start,
            "seconds": self.seconds,
            "weight": self.weight,
            "canary": self.canary.to_dict(),
            "stable": self.stable.to_dict(),
            "notes": list(self.notes),
            "missing": self.missing,
        }
        return values | ({"cause": self.cause} if self.cause else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Block:
        """Make it of what `to_dict` returned."""
        return cls(
            values["start"],
            values["seconds"],
            values["weight"],
            Counts.from_dict(values["canary"]),
            Counts.from_dict(values["stable"]),
            tuple(values.get("notes") or ()),
            bool(values.get("missing")),
            str(values.get("cause") or ""),
        )
