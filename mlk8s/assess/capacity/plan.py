"""From what one pod holds to replicas, targets, windows, resources and cost: arithmetic, and its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf, log10

from mlk8s.assess.capacity.measured import Capacity
from mlk8s.assess.scaling.twin import Cadence
from mlk8s.errors import UsageError
from mlk8s.spec.quantity import parse_quantity
from mlk8s.spec.resources import Resources
from mlk8s.spec.service import ModelService

METRICS = ("requests_in_flight", "requests_per_second")
_MEMORY_ROOM = 1.25
"""Memory asked for, as a multiple of the most that was seen: a pod above its limit is killed."""
_MEMORY_STEP, _LEAST_MEMORY = 16 * 2**20, 128 * 2**20
_SHORTEST_WINDOW = 60.0
_WINDOWS = 2.0
"""Stabilisation of the way down, in reaction times: a pod that was removed too early is missed for one."""
_CPU_BOUND = 0.85
"""Share of its CPU limit from which on the limit is called what holds a pod back,"""
_CPU_IDLE = 0.6
"""and below which it is not."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the service has to bear, and what a pod costs.

    Args:
        peak: requests/s at most; None leaves the number of replicas alone.
        ramp: seconds in which the load may rise from little to the peak.
        headroom: share of a pod's rate that the autoscaler is to keep free, 0 to 1.
        metric: that it follows, `requests_in_flight` or `requests_per_second`; None takes the service's own
            where it is one of these, else requests_in_flight.
        pod_hour_price, gpu_hour_price: price of a pod without its GPUs, and of one GPU, for an hour.

    Raises:
        UsageError: a number outside its range.
    """

    peak: float | None = None
    ramp: float = 300.0
    headroom: float = 0.2
    metric: str | None = None
    pod_hour_price: float | None = None
    gpu_hour_price: float | None = None

    def __post_init__(self) -> None:
        if self.peak is not None and not 0 < self.peak < inf:
            raise UsageError(f"peak is {self.peak:g}", expected="requests/s, above 0")
        if not 0 < self.ramp <= 86_400:
            raise UsageError(f"ramp is {self.ramp:g} s", expected="above 0, a day at most")
        if not 0 < self.headroom < 1:
            raise UsageError(f"headroom is {self.headroom:g}", expected="a share above 0 and below 1")
        if self.metric is not None and self.metric not in METRICS:
            raise UsageError(f"metric is {self.metric!r}", expected=f"one of {', '.join(METRICS)}")
        for name in ("pod_hour_price", "gpu_hour_price"):
            price = getattr(self, name)
            if price is not None and not 0 <= price < inf:
                raise UsageError(f"{name} is {price:g}", expected="a price an hour, 0 or more")


@dataclass(frozen=True)
class Replicas:
    """How many pods.

    Attributes:
        needed: pods that the peak needs at the autoscaler's target.
        min, max: bounds for the autoscaler.
        each_after_loss: requests/s of each pod at the peak when one of `max` is lost.
        survives: whether the others hold that.
    """

    needed: int
    min: int
    max: int
    each_after_loss: float
    survives: bool


@dataclass(frozen=True)
class Plan:
    """What follows from a pod's capacity.

    Attributes:
        pod_rps: requests/s of a pod at the autoscaler's target.
        metric, target: what the autoscaler keeps, mean a pod.
        reaction: seconds from a load that is too high until another pod has its share.
        replicas: None without a peak.
        scale_up, scale_down: stabilisation windows in seconds.
        resources: of the server's container; None where nothing was measured or VPA looks after them.
        gpus: of all pods together at most; None without GPUs or without a peak.
        cost: price of a million requests at the target; None without prices.
        notes: what was left alone, or is worth knowing, in sentences.
    """

    pod_rps: float
    metric: str
    target: float
    reaction: float
    replicas: Replicas | None
    scale_up: float
    scale_down: float
    resources: Resources | None
    gpus: int | None
    cost: float | None
    notes: tuple[str, ...]


def plan(capacity: Capacity, spec: ModelService, demand: Demand) -> Plan:
    """Return what to set for a service.

    Raises:
        ValueError: the pod holds no rate at all.
    """
    found = capacity.estimate
    if found is None:
        raise ValueError("a pod that holds no rate cannot be planned with")
    # The head-room is for what comes; what the measurement itself does not know is not taken from it.
    pod_rps = min(found.rate * (1 - demand.headroom), found.low)
    metric = demand.metric or _followed(spec)
    target = significant(capacity.in_flight(pod_rps) if metric == METRICS[0] else pod_rps)
    reaction = reaction_time(capacity.start)
    notes: list[str] = []
    replicas = None
    if demand.peak is not None:
        replicas = replicas_for(demand.peak, found.rate, pod_rps, reaction, demand.ramp)
    resources, words = _resources(capacity, spec)
    notes += words
    gpus = spec.gpu.count if spec.gpu is not None else 0
    return Plan(
        pod_rps=pod_rps, metric=metric, target=target, reaction=reaction, replicas=replicas, scale_up=0.0,
        scale_down=scale_down_window(reaction), resources=resources,
        gpus=gpus * replicas.max if gpus and replicas is not None else None,
        cost=_cost(demand, gpus, pod_rps), notes=tuple(notes),
    )  # fmt: skip


def reaction_time(start: float) -> float:
    """Return the seconds from a load that is too high until a further pod has its share of it.

    The metric's window, one interval of Kubernetes' autoscaler, and the start of the pod.
    """
    usual = Cadence()
    return usual.window + usual.sync + start


def replicas_for(peak: float, rate: float, pod_rps: float, reaction: float, ramp: float) -> Replicas:
    """Return how many pods a peak needs.

    At most: as many as keep the target at the peak, and so many that with one lost the others still hold it.
    At least two, so that one may be lost; and so many that what they have free takes what a rising load adds
    until further pods are there: peak * reaction / ramp.

    Args:
        peak: requests/s.
        rate: requests/s that one pod holds.
        pod_rps: requests/s of a pod at the autoscaler's target, below `rate`.
        reaction: seconds until a further pod has its share.
        ramp: seconds in which the load rises to the peak.
    """
    needed = _pods(peak / pod_rps)
    most = max(needed, _pods(peak / rate) + 1)
    grown = peak * min(1.0, reaction / ramp)
    least = min(most, max(2, _pods(grown / (rate - pod_rps))))
    each = peak / (most - 1)
    return Replicas(needed, least, most, each, survives=each <= rate * (1 + 1e-9))


def scale_down_window(reaction: float) -> float:
    """Return the seconds that a lower load must last before pods go, in steps of 30, at most an hour."""
    return min(3600.0, max(_SHORTEST_WINDOW, 30.0 * ceil(_WINDOWS * reaction / 30.0)))


def cost_per_million(hour_price: float, rps: float) -> float:
    """Return the price of a million requests of a pod that costs `hour_price` and answers `rps`."""
    return hour_price / (rps * 3600.0) * 1e6


def significant(value: float, digits: int = 3) -> float:
    """Return a number with so many digits; one that is not above 0 counts as a thousandth."""
    value = max(value, 1e-3)
    return round(value, digits - 1 - floor(log10(value)))


def _pods(share: float) -> int:
    return max(1, ceil(share - 1e-9))


def _followed(spec: ModelService) -> str:
    followed = spec.autoscale.followed if spec.autoscale is not None else ()
    names = [item.metric for item in followed]
    return next((str(name) for name in names if name in METRICS), METRICS[0])


def _cost(demand: Demand, gpus: int, pod_rps: float) -> float | None:
    if demand.pod_hour_price is None and demand.gpu_hour_price is None:
        return None
    hour = (demand.pod_hour_price or 0.0) + gpus * (demand.gpu_hour_price or 0.0)
    return cost_per_million(hour, pod_rps)


def _resources(capacity: Capacity, spec: ModelService) -> tuple[Resources | None, list[str]]:
    """Return requests that fit what was measured, and what there is to say of them."""
    if spec.vertical is not None and spec.vertical.mode != "Off":
        return None, ["CPU and memory are left to the vertical autoscaler."]
    now = spec.resources
    changes: dict[str, str] = {}
    notes: list[str] = []
    each = capacity.cpu_per_request
    if each is not None and capacity.rate is not None:
        used = each * capacity.rate
        limit = float(parse_quantity(now.cpu_limit)) if now.cpu_limit is not None else inf
        changes["cpu"] = cores(min(limit, used))
        if used >= _CPU_BOUND * limit:
            notes.append(
                f"CPU holds the pod back: at that rate it uses {used:.2f} of the {limit:g} CPUs of its "
                "limit, which stays as it is, because the rate was measured under it."
            )
        elif used < _CPU_IDLE * limit < inf and spec.gpu is None:
            notes.append(
                f"At that rate the pod uses {used:.2f} of the {limit:g} CPUs of its limit: what holds it "
                "back is not that limit, but perhaps other work on its node, the ingress controller, the "
                "machine that sends the load, or its own threads."
            )
    if capacity.memory is not None:
        changes["memory"] = mebibytes(capacity.memory * _MEMORY_ROOM)
        if now.memory_limit is not None:
            limits = (changes["memory"], now.memory_limit)
            changes["memory_limit"] = max(limits, key=parse_quantity)
    missing = [name for name, value in (("CPU", each), ("memory", capacity.memory)) if value is None]
    if missing:
        notes.append(
            f"Nothing told how much {' and '.join(missing)} the pod used (no Prometheus, or none that has "
            "its metrics), so that stays as it is."
        )
    return (now.replace(**changes) if changes else None), notes


def cores(value: float) -> str:
    """Return CPUs as a quantity, rounded up to 10 millicores unless that would double it."""
    milli = value * 1000
    return f"{max(1, ceil(milli - 1e-6) if milli < 10 else ceil(milli / 10 - 1e-6) * 10)}m"


def mebibytes(value: float) -> str:
    """Return bytes as a quantity, rounded up to 16 MiB; at least 128, which the model's fetch gets, too."""
    return f"{max(_LEAST_MEMORY, ceil(value / _MEMORY_STEP) * _MEMORY_STEP) // 2**20}Mi"
