"""What was measured and what follows from it, in sentences."""

from __future__ import annotations

from mlk8s.assess.capacity.measured import Capacity
from mlk8s.assess.capacity.plan import Demand, Plan
from mlk8s.assess.capacity.probe import Probe
from mlk8s.assess.scaling.twin import Cadence
from mlk8s.spec.load import Slo

_LATE = 0.1
"""Lag of the generator, as a share of the promised latency, that is worth a word."""
CHECKS = (0.9, 1.2)
"""Multiples of the answer that are checked: one has to hold, the other to break."""


def promise_words(slo: Slo) -> str:
    """Return the bounds, such as 'p99 <= 100 ms and errors <= 1 %'."""
    parts = [f"{name} <= {seconds(bound)}" for name, bound in slo.latency.items()]
    if slo.errors is not None:
        parts.append(f"errors <= {100 * slo.errors:.3g} %")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 2 else parts)


def answer_words(name: str, capacity: Capacity) -> str:
    """Return the answer with its interval."""
    found, promise = capacity.estimate, promise_words(capacity.slo)
    if found is None:
        return (
            f"One pod of {name} does not hold {promise} even at {capacity.lowest:.3g} requests/s; "
            f"a request that is alone takes {seconds(capacity.latency)}."
        )
    least = "at least " if found.ceiling else ""
    count = len(capacity.probes)
    return (
        f"One pod of {name} holds {least}{found.rate:.3g} requests/s within {promise} "
        f"({100 * found.confidence:g} % interval {found.low:.3g} to {found.high:.3g}, {count} probes)."
    )


def check_words(capacity: Capacity) -> str:
    """Return what the checks say: what was to be seen, or that it was not."""
    if not capacity.checks:
        return ""
    parts = []
    expected = True
    for factor, probe in zip(CHECKS, capacity.checks, strict=False):
        parts.append(f"at {factor:g} × ({probe.rate:.3g}/s) it {_outcome(probe)}")
        expected = expected and probe.held == (factor < 1)
    text = "Checked: " + ", ".join(parts) + "."
    return text if expected else f"{text} That is not what the answer promises: trust it less."


def doubts(capacity: Capacity) -> list[str]:
    """Return what speaks against the pod as the cause of what was seen, in sentences."""
    found = []
    bound = min(capacity.slo.latency.values(), default=None)
    late = max((probe.lag or 0.0 for probe in capacity.probes if probe.held), default=0.0)
    if bound is not None and late > _LATE * bound:
        found.append(
            f"The load generator itself was up to {seconds(late)} late with 1 % of the requests, which is in "
            "their latency: on a machine with more CPU to spare the answer may be higher."
        )
    return found


def confirmed(capacity: Capacity) -> bool | None:
    """Whether the checks held and broke as they should; None without both."""
    if len(capacity.checks) < len(CHECKS):
        return None
    return all(probe.held == (factor < 1) for factor, probe in zip(CHECKS, capacity.checks, strict=True))


def plan_words(capacity: Capacity, plan: Plan, demand: Demand) -> list[str]:
    """Return what to set, and why, in few sentences."""
    free = f"leaves {100 * demand.headroom:.3g} % of that rate free"
    if capacity.estimate is not None and plan.pod_rps < 0.999 * capacity.estimate.rate * (
        1 - demand.headroom
    ):
        free = "stays at the lower end of the interval"
    told = f"Keeping {plan.metric} at {plan.target:g} a pod {free} ({plan.pod_rps:.3g} requests/s a pod)"
    if plan.metric == "requests_in_flight":
        each = seconds(plan.target / plan.pod_rps)
        source = "as the pod counts them" if capacity.counted else "seen from outside"
        told += f": by Little's law, {plan.pod_rps:.3g}/s × {each} {source}"
    sentences = [told + "."]
    if plan.replicas is not None and demand.peak is not None:
        sentences.append(_replica_words(capacity, plan, demand))
    if plan.cost is not None:
        sentences.append(f"A million requests cost {plan.cost:.3g} at that load.")
    return sentences


def _replica_words(capacity: Capacity, plan: Plan, demand: Demand) -> str:
    replicas, usual = plan.replicas, Cadence()
    assert replicas is not None
    gpus = f" with {plan.gpus} GPUs together" if plan.gpus is not None else ""
    lost = "which they hold" if replicas.survives else f"which they do not hold for {capacity.start:.0f} s"
    return (
        f"A peak of {demand.peak:g} requests/s takes {replicas.needed} pods, so at most {replicas.max}"
        f"{gpus}: if one is lost, the others get {replicas.each_after_loss:.3g}/s each, {lost}. "
        f"At least {replicas.min}: what they have free must do for {plan.reaction:.0f} s "
        f"({usual.window:g} s until the metric follows, {usual.sync:g} s the autoscaler, "
        f"{capacity.start:.0f} s the start of a pod) while the load rises to its peak within "
        f"{demand.ramp:g} s."
    )


def probe_words(probe: Probe, slo: Slo) -> str:
    """Return one line about a probe."""
    return f"{probe.rate:.4g}/s {_outcome(probe)}, in {probe.seconds:g} s{_bounds(probe, slo)}"


def _outcome(probe: Probe) -> str:
    if probe.held:
        return f"held (p99 {seconds(probe.percentiles.get('p99'))})"
    if not probe.kept_up:
        return "broke: answers do not keep up with requests"
    return f"broke (p99 {seconds(probe.percentiles.get('p99'))}, errors {100 * (probe.errors or 0):.2g} %)"


def _bounds(probe: Probe, slo: Slo) -> str:
    shown = [
        f"{name} {seconds(probe.percentiles.get(name))} of {seconds(bound)}"
        for name, bound in slo.latency.items()
        if name != "p99"
    ]
    return f"; {', '.join(shown)}" if shown else ""


def seconds(value: float | None) -> str:
    """Return a time in milliseconds, or in seconds from one on."""
    if value is None:
        return "–"
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
