"""When each request of a profile is due: exact for regular arrivals, seeded for random ones.

A profile is a rate over time, so requests have positions on its integral: request k of regular arrivals is
due where the integral reaches k, and those of a Poisson process where it reaches the sums of unit
exponentials (time change of a Poisson process: Daley and Vere-Jones, An Introduction to the Theory of Point
Processes, section 7.4). Both are exact for any rate, and a worker that has one share of the positions needs
nobody to tell it which.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

_CHUNK = 4096
"""Exponentials that are drawn at once."""


@dataclass(frozen=True)
class Segment:
    """A stage in its place: from `begin` for `hold` seconds, the rate goes linearly from `low` to `high`."""

    begin: float
    hold: float
    low: float
    high: float
    before: float
    """Requests due before this segment."""
    users: int | None

    def due(self, into: float) -> float:
        """Return how many requests are due in the first `into` seconds of the segment."""
        return self.low * into + (self.high - self.low) * into * into / (2 * self.hold)

    def instants(self, numbers: np.ndarray) -> np.ndarray:
        """Return the seconds, within the segment, at which its requests `numbers` (from 0) are due."""
        slope = (self.high - self.low) / self.hold
        if not slope:
            return numbers / self.low if self.low else np.zeros_like(numbers)
        root = np.sqrt(np.maximum(0.0, self.low**2 + 2 * slope * numbers))
        # A ramp from nothing has its first request at once.
        times: np.ndarray = np.divide(
            2 * numbers, self.low + root, out=np.zeros_like(numbers), where=numbers > 0
        )
        return times


class Profile:
    """The rate of a whole test over time, in seconds from its start.

    Args:
        stages: each {"hold": s, "rps": requests/s or None, "users": n or None, "ramp": bool}.
    """

    def __init__(self, stages: Iterable[Mapping[str, Any]]) -> None:
        segments: list[Segment] = []
        begin, rate, before = 0.0, 0.0, 0.0
        for stage in stages:
            hold, high = float(stage["hold"]), float(stage.get("rps") or 0)
            low = rate if stage.get("ramp") else high
            users = None if stage.get("rps") is not None else int(stage["users"])
            segments.append(Segment(begin, hold, low, high, before, users))
            begin, rate, before = begin + hold, high, before + (low + high) / 2 * hold
        self.segments = segments
        self.duration = begin
        self.total = before
        """Requests of the whole profile; their mean number where arrivals are random."""
        self.closed_loop = segments[0].users is not None
        self.most_users = max(segment.users or 0 for segment in segments)
        self._begins = [segment.begin for segment in segments]
        self._befores = [segment.before for segment in segments]

    def _at(self, t: float) -> Segment:
        return self.segments[max(0, bisect_right(self._begins, t) - 1)]

    def users_at(self, t: float) -> int:
        """Return the number of users of a closed loop at second `t`; 0 where the profile is one of rates."""
        return self._at(t).users or 0

    def rate_at(self, t: float) -> float:
        """Return the requests/s that are due at second `t`; 0 outside the profile."""
        if not 0 <= t < self.duration:
            return 0.0
        segment = self._at(t)
        return segment.low + (segment.high - segment.low) * (t - segment.begin) / segment.hold

    def due_until(self, t: float) -> float:
        """Return how many requests are due before second `t`."""
        if t <= 0:
            return 0.0
        if t >= self.duration:
            return self.total
        segment = self._at(t)
        return segment.before + segment.due(t - segment.begin)

    def instants(self, positions: np.ndarray) -> np.ndarray:
        """Return the seconds at which the integral of the rate reaches `positions`, which ascend, below
        `total`."""
        places = np.searchsorted(self._befores, positions, side="right") - 1
        if len(places) and places[0] == places[-1]:
            segment = self.segments[places[0]]
            all_of_one: np.ndarray = segment.begin + segment.instants(positions - segment.before)
            return all_of_one
        times = np.empty_like(positions)
        for place in np.unique(places):
            segment = self.segments[place]
            here = places == place
            times[here] = segment.begin + segment.instants(positions[here] - segment.before)
        return times


class Arrivals:
    """Hands out due times in order, each one once.

    Args:
        profile: the rate over time.
        seed: of a Poisson process; None for regular arrivals.
        share: (i, n): only every n-th request, from number i on; n workers together send the whole profile.
        recorded: seconds from the start, ascending, instead of the profile's rate: a trace that is replayed.
    """

    def __init__(
        self, profile: Profile, *, seed: int | None = None, share: tuple[int, int] = (0, 1),
        recorded: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        self._profile = profile
        self._first, self._step = share
        self._random = np.random.Generator(np.random.PCG64(seed)) if seed is not None else None
        self._recorded = np.asarray(recorded, dtype=np.float64) if recorded is not None else None
        self._next = 0
        """Number of the first request that was not looked at yet, of all workers."""
        self._reached = 0.0
        """Position of the last random request that was drawn."""
        self._drawn = np.empty(0)

    def before(self, t: float) -> np.ndarray:
        """Return [requests], the due seconds before `t` that were not handed out yet."""
        if self._recorded is not None:
            end = int(np.searchsorted(self._recorded, t))
            return self._mine(self._recorded[self._next : end])
        if self._random is not None:
            return self._poisson(self._profile.due_until(t))
        end = ceil(self._profile.due_until(t) - 1e-9)
        return self._profile.instants(
            self._mine(np.arange(self._next, max(end, self._next), dtype=np.float64))
        )

    def _poisson(self, until: float) -> np.ndarray:
        assert self._random is not None
        while self._reached < until:
            # Drawn whole even where little is wanted, so that a seed gives the same times however they are
            # asked.
            more = self._reached + np.cumsum(self._random.standard_exponential(_CHUNK))
            self._drawn = np.concatenate([self._drawn, more])
            self._reached = float(more[-1])
        end = int(np.searchsorted(self._drawn, until))
        positions, self._drawn = self._drawn[:end], self._drawn[end:]
        return self._profile.instants(self._mine(positions))

    def _mine(self, requests: np.ndarray) -> np.ndarray:
        """Return this worker's share of the next requests."""
        skip = (self._first - self._next) % self._step
        self._next += len(requests)
        return requests[skip :: self._step]
