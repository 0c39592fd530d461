"""How pods answer load, in numbers: enough to say how many requests are in flight and how long they take."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

_NEARLY_FULL = 0.98
"""Use of a pod above which the queue is that of a fluid: what comes in and does not go out."""


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
        use = min(rate / self.capacity, _NEARLY_FULL)
        busy = min(rate, self.capacity) * self.latency
        queue: float = self.variability * use ** sqrt(2 * (self.servers + 1)) / (1 - use)
        return busy + queue
