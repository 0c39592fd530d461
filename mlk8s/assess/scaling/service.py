"""How pods answer load, in numbers: enough to say how many requests are in flight and how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from mlk8s.errors import UsageError

_NEARLY_FULL = 0.98
"""Use of a pod above which the queue is that of a fluid: what comes in and does not go out."""

_BEHIND = 0.5
"""Seconds of a pod's work that wait before it counts as overloaded."""
_CALM = 0.9
"""Use of a pod up to which its latency says how it queues."""


@dataclass(frozen=True)
class Measured:
    """One second of a load test, of all pods together.

    Attributes:
        offered: requests that were due.
        answered: right answers.
        latency: their mean latency in seconds; None without any.
        ready: pods that answered.
        cpu: CPUs that were in use, or None.
    """

    offered: float
    answered: float
    latency: float | None
    ready: int
    cpu: float | None = None


@dataclass(frozen=True)
class ServiceModel:
    """One pod of a service, as a load test or `mlk8s size` measures it.

    Args:
        capacity: requests/s at most.
        latency: seconds of a request while there is no other.
        start: seconds from the wish for a pod until it is ready.
        variability: of the distance between requests and of their service times: mean of the squares of both
            coefficients of variation; 1 for random arrivals and exponential times, 0.5 for random arrivals of
            equal requests, near 0 for a clock's.
        cpu: CPU seconds a request; only metric `cpu` needs it.

    Raises:
        ValueError: capacity, latency or start is not above 0, or variability is negative.
    """

    capacity: float
    latency: float
    start: float
    variability: float = 0.5
    cpu: float | None = None

    def __post_init__(self) -> None:
        for name in ("capacity", "latency", "start"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if self.variability < 0:
            raise ValueError(f"variability is {self.variability}; expected 0 or more")

    @classmethod
    def fit(cls, seconds: Sequence[Measured], *, start: float) -> ServiceModel:
        """Return the model that an open loop's seconds show; the pods must have been overloaded in some.

        Capacity is the mean of what a pod answered while half a second of its work, or more, was waiting;
        latency the median of the calmest quarter of the other seconds; variability the least squares of the
        queue, by Sakasegawa's approximation, in the seconds below 90 % of the capacity; CPU the mean a right
        answer.

        Args:
            seconds: from the start of the load on, none left out.
            start: seconds from the wish for a pod until it is ready.

        Raises:
            UsageError: no second was calm, or none overloaded.
        """
        behind, full, calm = 0.0, [], []
        much = max(1.0, _BEHIND * max((second.answered for second in seconds), default=0.0))
        for second in seconds:
            was = behind
            behind = max(0.0, behind + second.offered - second.answered)
            if not second.ready:
                continue
            if min(was, behind) > much:
                full.append(second.answered / second.ready)
            elif second.latency is not None and second.offered > 0 and behind <= much / 2:
                calm.append(second)
        if not calm or not full:
            missing = "overloaded" if calm else "calm"
            raise UsageError(
                f"in no second of the load test the pods were {missing}",
                where="ServiceModel.fit",
                expected="a staircase of rates, the first far below and the last above what the pods can do",
                next_step='such as LoadProfile.steps(rps=[...], hold="12s", stop_above=1) on fixed replicas',
            )
        capacity = sum(full) / len(full)
        calm.sort(key=lambda second: second.offered / second.ready)
        quiet = [second.latency or 0.0 for second in calm[: max(1, len(calm) // 4)]]
        model = cls(capacity, median(quiet), start, 0.0)
        used = [second.cpu / second.answered for second in calm if second.cpu is not None and second.answered]
        return cls(
            capacity, model.latency, start, model._queueing(calm), sum(used) / len(used) if used else None
        )

    def _queueing(self, calm: Sequence[Measured]) -> float:
        """Return the variability that explains the latency of calm seconds best."""
        above = below = 0.0
        for second in calm:
            rate = second.offered / second.ready
            if rate < _CALM * self.capacity:
                wait = self._queue(rate) / rate
                above += wait * ((second.latency or 0.0) - self.latency)
                below += wait * wait
        return max(0.0, above / below) if below else 0.0

    def _queue(self, rate: float) -> float:
        """Return the mean length of the queue at variability 1."""
        use = min(rate / self.capacity, _NEARLY_FULL)
        return float(use ** sqrt(2 * (self.servers + 1)) / (1 - use))

    @property
    def servers(self) -> float:
        """How many requests a pod works on at once: capacity times latency (Little's law)."""
        return max(1.0, self.capacity * self.latency)

    def in_flight(self, rate: float) -> float:
        """Return the mean number of requests in a pod that gets `rate` requests/s for long.

        Those in service by Little's law, those in the queue by Sakasegawa's approximation for G/G/c
        (Sakasegawa 1977; Hopp and Spearman, Factory Physics, chapter 8); above 98 % of the capacity the queue
        no longer follows the rate, and is the caller's to add up.
        """
        return min(rate, self.capacity) * self.latency + self.variability * self._queue(rate)
