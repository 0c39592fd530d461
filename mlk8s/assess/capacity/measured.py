"""What probes measured of one pod, and what can be read from it at other rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mlk8s.assess.capacity.probe import Probe
from mlk8s.assess.capacity.threshold import Estimate
from mlk8s.assess.scaling.service import ServiceModel
from mlk8s.spec.load import Slo

_MOST_USE = 0.97
"""Use of a pod up to which its queue is fitted: above it grows with the probe's length."""


@dataclass(frozen=True)
class Capacity:
    """One pod, measured.

    Attributes:
        slo: the promise, with a bound on errors.
        estimate: the most requests/s that hold; None where not even the lowest rate did.
        lowest, highest: requests/s between which was looked.
        probes: of the search, in their order.
        checks: those of 0.9 and 1.2 times the answer, sent after the search.
        latency: mean seconds of a request while there is no other.
        saturation: right answers a second when there are always requests in the queue.
        start: seconds from a pod's creation until it was ready.
        memory: bytes that the pod's server used at most; None where nothing tells.
    """

    slo: Slo
    estimate: Estimate | None
    lowest: float
    highest: float
    probes: tuple[Probe, ...]
    checks: tuple[Probe, ...]
    latency: float
    saturation: float
    start: float
    memory: float | None = None

    @property
    def rate(self) -> float | None:
        """The answer: the most requests/s that one pod holds; None where it holds none."""
        return self.estimate.rate if self.estimate is not None else None

    @property
    def counted(self) -> bool:
        """Whether the pods' own count of requests in flight was to be had."""
        return any(probe.in_flight is not None for probe in self._good)

    @property
    def cpu_per_request(self) -> float | None:
        """CPU seconds of a request; None where nothing told of CPU."""
        known = [probe for probe in self._good if probe.cpu is not None]
        answered = sum(probe.ok / probe.seconds for probe in known)
        return sum(probe.cpu or 0.0 for probe in known) / answered if answered else None

    @property
    def capacity(self) -> float:
        """Right answers a second that were seen at most."""
        return max([self.saturation, *(probe.ok / probe.seconds for probe in self._good)])

    def in_flight(self, rate: float) -> float:
        """Return the mean number of requests in a pod at a rate that it holds.

        Little's law (Little, Operations Research 9, 1961) for probes that have no count of the pod's own:
        requests/s times their mean latency. Between probes on a straight line, made monotone first.
        """
        points = sorted((probe.rate, _in_flight(probe)) for probe in self._good)
        if not points:
            return rate * self.latency
        rates, values = [0.0, *(x for x, _ in points)], [0.0, *monotone([y for _, y in points])]
        if rate > rates[-1]:
            return values[-1] * rate / rates[-1]
        return float(np.interp(rate, rates, values))

    def service_model(self) -> ServiceModel:
        """Return the pod as the autoscaler's twin needs it, its queue fitted to the probes that held.

        The variability is the least-squares factor of the queue in Sakasegawa's approximation; see
        `ServiceModel.in_flight`.
        """
        capacity, latency = self.capacity, self._alone
        servers = max(1.0, capacity * latency)
        above = below = 0.0
        for probe in self._good:
            use = probe.rate / capacity
            if use >= _MOST_USE:
                continue
            queue = use ** sqrt(2 * (servers + 1)) / (1 - use)
            above += queue * (_in_flight(probe) - probe.rate * latency)
            below += queue * queue
        variability = max(0.0, above / below) if below else 0.5
        return ServiceModel(
            capacity=capacity, latency=latency, start=self.start, variability=variability,
            cpu=self.cpu_per_request,
        )  # fmt: skip

    @property
    def _alone(self) -> float:
        """Seconds of a lone request: in the pod alone, without the way to it, where the pod counts."""
        counted = [probe.in_flight / probe.rate for probe in self._good if probe.in_flight]
        return min([self.latency, *counted])

    @property
    def _good(self) -> list[Probe]:
        return [probe for probe in (*self.probes, *self.checks) if probe.held and probe.mean is not None]


def _in_flight(probe: Probe) -> float:
    if probe.in_flight is not None:
        return probe.in_flight
    return probe.rate * (probe.mean or 0.0)


def monotone(values: Sequence[float]) -> list[float]:
    """Return the closest values, by least squares, that nowhere fall (pool adjacent violators: Ayer et al.,
    Annals of Mathematical Statistics 26, 1955)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = float(value), 1
        while pools and pools[-1][0] > mean:
            before, others = pools.pop()
            mean, count = (before * others + mean * count) / (others + count), others + count
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]
