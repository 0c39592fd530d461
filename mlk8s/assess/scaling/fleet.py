"""The pods of the twin: each with a queue of its own, scraped one by one, as Prometheus has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlk8s.assess.scaling.controller import Seen
from mlk8s.assess.scaling.service import ServiceModel

STEP = 0.1
"""Seconds of one step."""


@dataclass
class Pod:
    """One pod.

    Attributes:
        ready_at: second from which it is ready; requests come a little later.
        scraped_at: second of its next scrape.
        queued: requests in it beyond its ordinary queue; they wait there, whatever the others do.
        served, in_flight: requests/s and requests of the last step.
        integral: of the metric over time, what a counter shows.
        samples: scrapes: when, and the integral then.
    """

    ready_at: float
    scraped_at: float
    queued: float = 0.0
    served: float = 0.0
    in_flight: float = 0.0
    integral: float = 0.0
    samples: deque[tuple[float, float]] = field(default_factory=deque)


@dataclass
class Fleet:
    """All pods, the newest last: they go first.

    Args:
        service: how each answers.
        connections: most requests that are in the pods at once; the others wait in front of them.
        scrape: seconds between two scrapes of a pod. Prometheus spreads its targets over the interval;
            a first scrape after half of one is the mean of all places.
        window: seconds over which the metric is a mean.
        routing: seconds until requests follow a change of the pods. One that is removed answers until then.
    """

    service: ServiceModel
    connections: float
    scrape: float
    window: float
    routing: float
    pods: list[Pod] = field(default_factory=list)
    leaving: list[tuple[float, Pod]] = field(default_factory=list)
    """Pods that were removed, and until when requests come to them."""
    waiting: float = 0.0

    def resize(self, count: int, now: float, *, at_once: bool = False) -> None:
        """Add pods that start now, or take the newest away."""
        while len(self.pods) < count:
            ready = now - self.routing if at_once else now + self.service.start
            self.pods.append(Pod(ready, max(now, ready) + self.scrape / 2))
        self.leaving += [(now + self.routing, pod) for pod in self.pods[count:]]
        del self.pods[count:]

    def ready(self, now: float) -> int:
        """Return how many pods are ready."""
        return sum(pod.ready_at <= now + 1e-9 for pod in self.pods)

    def routed(self, now: float) -> list[Pod]:
        """Return the pods that requests are led to."""
        leaving = [pod for until, pod in self.leaving if now < until]
        return [pod for pod in self.pods + leaving if pod.ready_at + self.routing <= now + 1e-9]

    @property
    def in_flight(self) -> float:
        """Requests in all pods that are to stay."""
        return sum(pod.in_flight for pod in self.pods)

    def take(self, offered: float, now: float) -> None:
        """Share out the requests of one step, `offered` a second, evenly; every pod answers what it can."""
        routed = self.routed(now)
        self.waiting += offered * STEP
        if not routed:
            return
        admitted = min(self.waiting, max(0.0, self.connections - self.in_flight))
        self.waiting -= admitted
        for pod in routed:
            due = pod.queued + admitted / len(routed)
            pod.served = min(self.service.capacity, due / STEP)
            pod.queued = max(0.0, due - pod.served * STEP)
            pod.in_flight = self.service.in_flight(pod.served) + pod.queued

    def hold(self, users: int, now: float) -> None:
        """Put the users of a closed loop into the pods, evenly; each has one request, always."""
        routed = self.routed(now)
        for pod in routed:
            mine = users / len(routed)
            pod.queued, pod.in_flight = 0.0, mine
            pod.served = min(mine / self.service.latency, self.service.capacity)

    def latency(self, now: float) -> float:
        """Return the mean seconds that a request takes that comes now."""
        routed = self.routed(now)
        if not routed:
            return float("inf")
        each = [pod.in_flight / pod.served if pod.served > 0 else self.service.latency for pod in routed]
        served = sum(pod.served for pod in routed)
        return sum(each) / len(each) + (self.waiting / served if served > 0 else 0.0)

    def count(self, per_request: float | None, now: float) -> None:
        """Add one step to the counters: requests in flight, or with `per_request` what each one costs."""
        for pod in self.routed(now):
            pod.integral += (pod.in_flight if per_request is None else per_request * pod.served) * STEP

    def look(self, now: float) -> None:
        """Scrape the pods whose turn it is."""
        for pod in self.pods:
            if now >= pod.scraped_at - 1e-9:
                pod.samples.append((now, pod.integral))
                pod.scraped_at += self.scrape

    def seen(self, now: float) -> Seen:
        """Return what the autoscaler sees now: the rate of each counter over the window that ends now."""
        values, missing, unready = [], 0, 0
        for pod in self.pods:
            while pod.samples and pod.samples[0][0] <= now - self.window:
                pod.samples.popleft()
            if pod.ready_at > now:
                unready += 1
            elif len(pod.samples) < 2:  # a rate needs two
                missing += 1
            else:
                values.append(rate(pod.samples, now, self.window))
        return Seen(values, missing, unready)


def rate(samples: Sequence[tuple[float, float]], now: float, window: float) -> float:
    """Return what Prometheus' `rate` says of samples (when, value) in the window that ends at `now`.

    It extends the samples to the window's ends where they are near, else by half of their distance, never to
    below zero, and divides by the whole window: a pod that is younger than the window counts for less than it
    does (`extrapolatedRate` in promql/functions.go, Prometheus 3).
    """
    (first, low), (last, high) = samples[0], samples[-1]
    seen, rise = last - first, high - low
    apart = seen / (len(samples) - 1)
    before, after = first - (now - window), now - last
    before = apart / 2 if before >= 1.1 * apart else before
    after = apart / 2 if after >= 1.1 * apart else after
    if rise > 0 and low >= 0:
        before = min(before, seen * low / rise)
    return rise * (seen + before + after) / seen / window
