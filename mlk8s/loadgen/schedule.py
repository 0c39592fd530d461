"""When each request of a profile is due: a pure function of its number, so that the rate is exact."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Any

SPARE_SECONDS = 0.5
"""Connections for this many seconds of a stage's rate: the mean latency up to which the rate is reached."""
FEWEST_CONNECTIONS = 4
MOST_CONNECTIONS = 1_000


@dataclass(frozen=True)
class Segment:
    """A stage in its place: from `begin` for `hold` seconds, the rate goes linearly from `low` to `high`."""

    begin: float
    hold: float
    low: float
    high: float
    before: float
    """Requests due before this segment."""
    users: int

    def due(self, into: float) -> float:
        """Return how many requests are due in the first `into` seconds of the segment."""
        return self.low * into + (self.high - self.low) * into * into / (2 * self.hold)

    def instant(self, number: float) -> float:
        """Return the second, within the segment, at which its request `number` (from 0) is due."""
        slope = (self.high - self.low) / self.hold
        if number <= 0 or not slope:  # a ramp from nothing has its first request at once
            return number / self.low if self.low else 0.0
        return 2 * number / (self.low + sqrt(max(0.0, self.low**2 + 2 * slope * number)))


class Schedule:
    """Due times of a whole profile, in seconds from its start.

    Args:
        stages: each {"hold": s, "rps": requests/s or None, "users": n or None, "ramp": bool}.
        connections: most requests in flight for stages with rps; None for half a second of the rate.
    """

    def __init__(self, stages: Iterable[Mapping[str, Any]], connections: int | None = None) -> None:
        segments: list[Segment] = []
        begin, rate, before, users = 0.0, 0.0, 0.0, 0
        for stage in stages:
            hold, rps = float(stage["hold"]), stage.get("rps")
            low = rate if stage.get("ramp") else float(rps or 0)
            high = float(rps or 0)
            # With rps, connections only grow: closing one could cut off a request that is in flight.
            users = int(stage["users"]) if rps is None else max(users, connections or _connections(high))
            segments.append(Segment(begin, hold, low, high, before, users))
            begin, rate, before = begin + hold, high, before + (low + high) / 2 * hold
        self.segments = segments
        self.duration = begin
        self.total = before
        self.closed_loop = not before
        self._begins = [segment.begin for segment in segments]
        self._befores = [segment.before for segment in segments]

    def _at(self, t: float) -> Segment:
        return self.segments[max(0, bisect_right(self._begins, t) - 1)]

    def users_at(self, t: float) -> int:
        """Return the number of users (connections) at second `t`."""
        return self._at(t).users

    def due_until(self, t: float) -> float:
        """Return how many requests are due before second `t`."""
        if t <= 0:
            return 0.0
        if t >= self.duration:
            return self.total
        segment = self._at(t)
        return segment.before + segment.due(t - segment.begin)

    def time_of(self, number: int) -> float:
        """Return the second at which request `number` (from 0) is due; infinite after the last one."""
        if number >= self.total - 1e-9:
            return inf
        segment = self.segments[bisect_right(self._befores, number) - 1]
        return segment.begin + segment.instant(number - segment.before)


class Pacer:
    """Hands out due times one by one; those long past are dropped and counted, not sent in a burst."""

    LATEST = 1.0
    """A request that no connection was free for within this many seconds is not sent at all."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._next = 0
        self.dropped = 0

    def take(self, now: float) -> float:
        """Return the next due second, in the past when it is overdue; infinite after the last request."""
        first = ceil(self._schedule.due_until(now - self.LATEST) - 1e-9)
        if first > self._next:
            self.dropped += first - self._next
            self._next = first
        due = self._schedule.time_of(self._next)
        self._next += due < inf
        return due


def _connections(rps: float) -> int:
    return min(MOST_CONNECTIONS, max(FEWEST_CONNECTIONS, ceil(rps * SPARE_SECONDS)))
