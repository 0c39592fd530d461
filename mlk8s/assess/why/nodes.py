"""Why a node takes no pods, and why a drain cannot empty one."""

from __future__ import annotations

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, age, condition, is_true, place, terminating
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.pods import of_pods
from mlk8s.assess.why.workloads import pods_of


def node(item: Object, facts: Facts) -> Answer:
    """Return why a node takes no pods."""
    name = item["metadata"]["name"]
    state = condition(item, "Ready")
    if state.get("status") != "True":
        cause = Cause(
            "node-not-ready",
            f"node {name} is not ready: {state.get('message', state.get('reason'))}",
            f"node {name}",
            f"see `kubectl describe node {name}` and the kubelet's log; `mlk8s up` repairs a local cluster",
            evidence=(f"Ready={state.get('status')} since {state.get('lastTransitionTime')}",),
        )
        return Answer(cause.message, cause)
    if item.get("spec", {}).get("unschedulable"):
        cause = Cause("node-cordoned", f"node {name} is cordoned: it takes no new pods", f"node {name}",
                      f"`kubectl uncordon {name}`")  # fmt: skip
        return Answer(cause.message, cause)
    return Answer(f"ready for {age(state.get('lastTransitionTime'), facts.now):.0f} s")


def budget(item: Object, facts: Facts) -> Answer:
    """Return why a PodDisruptionBudget lets no pod go."""
    status, spec = item.get("status", {}), item["spec"]
    allowed, healthy = int(status.get("disruptionsAllowed", 0)), int(status.get("currentHealthy", 0))
    expected, desired = int(status.get("expectedPods", 0)), int(status.get("desiredHealthy", 0))
    if allowed > 0 or expected == 0:
        return Answer(f"{allowed} of {expected} pods may go" if expected else "it selects no pods")
    always = spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
    if healthy == 0 and (always or desired == 0):
        return Answer(f"0 of {expected} pods are healthy, and those may go", starting=True)
    pods = [p for p in pods_of(item, facts) if not is_true(p, "Ready") and not terminating(p)]
    inner = of_pods(pods, facts)
    bound = (
        f"minAvailable {spec['minAvailable']}"
        if "minAvailable" in spec
        else f"maxUnavailable {spec.get('maxUnavailable')}"
    )
    why = f"; {inner.message}" if inner else ""
    cause = Cause(
        "disruption-budget",
        f"no pod may be evicted, so a drain waits: {healthy} of {expected} pods are healthy and {bound} "
        f"asks for {desired}{why}",
        place(item),
        inner.remedy if inner else "add a replica, or loosen the budget: maxUnavailable 1",
        evidence=(f"disruptionsAllowed 0, currentHealthy {healthy}, desiredHealthy {desired}",),
    )
    return Answer(cause.message, cause)
