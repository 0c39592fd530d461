"""The twin: load in, replicas out, step by step, as autoscaler, metrics and pods would have it."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from mlk8s.assess.scaling.controller import TOLERANCE, Controller, wanted
from mlk8s.assess.scaling.fleet import STEP, Fleet
from mlk8s.assess.scaling.service import ServiceModel
from mlk8s.assess.turns import reversals
from mlk8s.errors import UsageError
from mlk8s.loadgen.arrivals import Profile
from mlk8s.render.scaling import behavior
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.load import LoadProfile

_KNOWN = ("requests_in_flight", "requests_per_second", "cpu")
_A_SECOND = round(1 / STEP)
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
        routing: until the ingress controller's requests follow a change of the pods.
    """

    sync: float = 15.0
    scrape: float = 2.0
    window: float = 10.0
    offset: float = 0.0
    routing: float = 1.0


LOCAL = Cadence(sync=5.0, routing=0.3)
"""The local cluster's. Its EndpointSlices followed a change of replicas within 0.13 to 0.31 s; Traefik
gathers changes for 0.1 s."""


@dataclass(frozen=True)
class Second:
    """One second of the simulation: what is so in its middle, which is when a load test's samples are taken.

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
    """What would happen, a row a second, and what is worth a warning; a notebook shows it as plots.

    Attributes:
        seconds: a row a second.
        warnings: of flapping, of seconds outside the SLO, of too few replicas.
        target: of the metric, mean a pod.
        metric: what the autoscaler follows.
        slo_latency: mean latency in seconds above which a second counts as lost, or None.
    """

    seconds: tuple[Second, ...]
    warnings: tuple[str, ...]
    target: float
    metric: str
    slo_latency: float | None = None

    @property
    def replica_seconds(self) -> float:
        """Seconds of all replicas together: what they cost."""
        return float(sum(second.replicas for second in self.seconds))


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
    per_request = None if name == "requests_in_flight" else scale
    fleet = Fleet(service, float(profile.most_connections), cadence.scrape, cadence.window, cadence.routing)
    count = replicas if replicas is not None else autoscale.min
    fleet.resize(count, 0.0, at_once=True)
    metric = None
    next_sync = cadence.offset
    rows: list[Second] = []
    for step in range(round((profile.duration + settle) / STEP)):
        now = step * STEP
        users = load.users_at(now) if now < load.duration else 0
        if load.closed_loop:
            fleet.hold(users, now)
        else:
            fleet.take((load.due_until(now + STEP) - load.due_until(now)) / STEP, now)
        fleet.count(per_request, now)
        fleet.look(now)
        if now >= next_sync - 1e-9:
            seen = fleet.seen(now)
            metric = seen.metric
            count = controller.decide(now, count, wanted(count, seen, target, up, down))
            fleet.resize(count, now)
            next_sync += cadence.sync
        if step % _A_SECOND == _A_SECOND // 2:
            served = sum(pod.served for pod in fleet.routed(now))
            offered = served if load.closed_loop else load.rate_at(now)
            seen_now = (count, fleet.ready(now), metric, fleet.in_flight, fleet.latency(now))
            rows.append(Second(floor(now + 1e-9), offered, *seen_now))
    return Simulation(tuple(rows), tuple(_warnings(rows, autoscale, slo_latency)), target, name, slo_latency)


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
