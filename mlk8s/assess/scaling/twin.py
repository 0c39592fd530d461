"""The twin: load in, replicas out, step by step, as autoscaler, metrics and pods would have it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import floor

from mlk8s.assess.scaling.controller import TOLERANCE, Controller, Seen, wanted
from mlk8s.assess.scaling.service import ServiceModel
from mlk8s.assess.turns import reversals
from mlk8s.errors import UsageError
from mlk8s.loadgen.arrivals import Profile
from mlk8s.render.scaling import behavior
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.load import LoadProfile

_STEP = 0.1
"""Seconds of one step."""
_KNOWN = ("requests_in_flight", "requests_per_second", "cpu")
_FLAPPING = 2
"""Changes of direction, after the first, that are no longer the load's own."""


@dataclass(frozen=True)
class Cadence:
    """How often the chain between a pod and the autoscaler looks, in seconds.

    Attributes:
        sync: between two decisions of the autoscaler; 15 is Kubernetes' default, the local cluster has 5.
        scrape: between two looks of Prometheus at a pod.
        window: over which the metric is a mean.
        offset: when the first decision falls, after the start of the load.
    """

    sync: float = 15.0
    scrape: float = 2.0
    window: float = 10.0
    offset: float = 0.0


LOCAL = Cadence(sync=5.0)
"""The local cluster's."""


@dataclass(frozen=True)
class Second:
    """One second of the simulation.

    Attributes:
        t: seconds since the start of the load.
        offered: requests/s that come.
        replicas: of the Deployment, as the autoscaler set them.
        ready: pods that answer.
        metric: mean a pod, as the autoscaler sees it; None before there is any.
        in_flight: requests in all pods.
        latency: mean seconds that a request takes that comes now.
    """

    t: int
    offered: float
    replicas: int
    ready: int
    metric: float | None
    in_flight: float
    latency: float


@dataclass(frozen=True)
class Simulation:
    """What would happen, a row a second, and what is worth a warning."""

    seconds: tuple[Second, ...]
    warnings: tuple[str, ...]

    @property
    def replica_seconds(self) -> float:
        """Seconds of all replicas together: what they cost."""
        return float(sum(second.replicas for second in self.seconds))


@dataclass
class _Pods:
    """Pods by the second in which they are ready; the newest go first."""

    service: ServiceModel
    ready_at: list[float] = field(default_factory=list)
    samples: list[deque[tuple[float, float]]] = field(default_factory=list)
    """Scrapes of each pod: when, and the metric's integral."""
    integrals: list[float] = field(default_factory=list)

    def resize(self, count: int, now: float, *, at_once: bool = False) -> None:
        while len(self.ready_at) < count:
            self.ready_at.append(now if at_once else now + self.service.start)
            self.samples.append(deque())
            self.integrals.append(0.0)
        del self.ready_at[count:], self.samples[count:], self.integrals[count:]

    def ready(self, now: float) -> int:
        return sum(moment <= now for moment in self.ready_at)

    def scrape(self, now: float, window: float) -> None:
        for moment, samples, integral in zip(self.ready_at, self.samples, self.integrals, strict=True):
            if moment <= now:
                samples.append((now, integral))
                while samples[0][0] < now - window - _STEP / 2:
                    samples.popleft()

    def seen(self, now: float) -> Seen:
        values, missing, unready = [], 0, 0
        for moment, samples in zip(self.ready_at, self.samples, strict=True):
            if moment > now:
                unready += 1
            elif len(samples) < 2:  # a rate needs two
                missing += 1
            else:
                (first, low), (last, high) = samples[0], samples[-1]
                values.append((high - low) / (last - first))
        return Seen(values, missing, unready)


def simulate(
    profile: LoadProfile, autoscale: Autoscale, service: ServiceModel, *, replicas: int | None = None,
    settle: float = 0.0, cadence: Cadence = LOCAL, slo_latency: float | None = None,
    cpu_request: float | None = None,
) -> Simulation:  # fmt: skip
    """Say what an autoscaler would do under a load.

    Args:
        profile: stages of requests/s, or of users in a closed loop.
        autoscale: one metric: requests_in_flight, requests_per_second or cpu.
        service: how a pod answers.
        replicas: at the start; the autoscaler's minimum by default.
        settle: seconds after the load that are simulated, too.
        cadence: how often is looked.
        slo_latency: mean latency in seconds above which a second is called lost.
        cpu_request: CPUs that a pod requests, which metric `cpu` is a share of.

    Raises:
        UsageError: a metric that the twin does not know, or `cpu` without what it needs.
    """
    followed = autoscale.followed
    name = followed[0].metric if len(followed) == 1 else None
    if autoscale.scaler != "hpa" or name not in _KNOWN:
        raise UsageError(
            "the twin simulates one metric of an HPA",
            where="autoscale",
            expected=f"one of {', '.join(_KNOWN)}",
        )
    if name == "cpu" and (service.cpu is None or cpu_request is None):
        raise UsageError("metric cpu needs ServiceModel(cpu=...) and cpu_request", where="simulate")
    scale = 1.0
    if name == "cpu":
        assert service.cpu is not None and cpu_request is not None
        scale = 100 * service.cpu / cpu_request
    target = followed[0].target
    controller = Controller(autoscale.min, autoscale.max, behavior(autoscale))
    up, down = controller.tolerance("scaleUp"), controller.tolerance("scaleDown")
    load = Profile([stage.model_dump() for stage in profile.stages])
    pods = _Pods(service)
    count = replicas if replicas is not None else autoscale.min
    pods.resize(count, 0.0, at_once=True)
    backlog, metric = 0.0, None
    next_sync, next_scrape = cadence.offset, 0.0
    rows: list[Second] = []
    steps = round((profile.duration + settle) / _STEP)
    for step in range(steps):
        now = step * _STEP
        ready = pods.ready(now)
        users = load.users_at(now) if now < load.duration else 0
        offered = _offered(load, users, ready, service, now)
        served, backlog, in_flight = _serve(offered, backlog, ready, service)
        if load.closed_loop:  # each user has one, and nobody sends what would have to wait for another's
            backlog, in_flight = 0.0, float(users if ready else 0)
        for index, moment in enumerate(pods.ready_at):
            if moment <= now:
                each = in_flight if name == "requests_in_flight" else scale * served
                pods.integrals[index] += each / ready * _STEP
        if now >= next_scrape - 1e-9:
            pods.scrape(now, cadence.window)
            next_scrape += cadence.scrape
        if now >= next_sync - 1e-9:
            seen = pods.seen(now)
            metric = seen.metric
            count = controller.decide(now, count, wanted(count, seen, target, up, down))
            pods.resize(count, now)
            next_sync += cadence.sync
        if step % round(1 / _STEP) == 0:
            latency = in_flight / served if served > 0 else (service.latency if ready else float("inf"))
            rows.append(Second(floor(now + 1e-9), offered, count, ready, metric, in_flight, latency))
    return Simulation(tuple(rows), tuple(_warnings(rows, autoscale, slo_latency)))


def _offered(load: Profile, users: int, ready: int, service: ServiceModel, now: float) -> float:
    """Return the requests/s that come: the profile's, or what users send that wait for their answers."""
    if not load.closed_loop:
        return (load.due_until(now + _STEP) - load.due_until(now)) / _STEP
    if not users or not ready:
        return 0.0
    return min(users / service.latency, ready * service.capacity)


def _serve(offered: float, backlog: float, ready: int, service: ServiceModel) -> tuple[float, float, float]:
    """Return requests/s that are answered, requests beyond the pods' ordinary queues, and all in flight."""
    able = ready * service.capacity
    served = min(able, offered + backlog / _STEP)
    backlog = max(0.0, backlog + (offered - served) * _STEP)
    ordinary = ready * service.in_flight(served / ready) if ready else 0.0
    return served, backlog, ordinary + backlog


def _warnings(rows: list[Second], autoscale: Autoscale, slo_latency: float | None) -> list[str]:
    found = []
    turns = reversals(row.replicas for row in rows)
    if turns > _FLAPPING:
        found.append(
            f"replicas turn {turns} times: lengthen scale_down_stabilization, or raise the target's distance"
        )
    if slo_latency is not None:
        lost = sum(row.latency > slo_latency and row.offered > 0 for row in rows)
        if lost:
            found.append(f"{lost} s with a mean latency above {1000 * slo_latency:g} ms")
    full = sum(row.replicas == autoscale.max and row.in_flight > 0 for row in rows)
    behind = [row for row in rows if row.replicas == autoscale.max and row.metric is not None]
    target = autoscale.followed[0].target
    if behind and (behind[-1].metric or 0.0) > target * (1 + 2 * TOLERANCE):
        found.append(
            f"{autoscale.max} replicas are not enough: {full} s at the maximum, and still above target"
        )
    return found
