"""Why a VerticalPodAutoscaler recommends nothing, or why nobody applies what it recommends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, age, condition, is_true, place, terminating
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.metrics import api_cause
from mlk8s.assess.why.pods import of_pods
from mlk8s.assess.why.reading import shown
from mlk8s.assess.why.scaling import TARGETS
from mlk8s.assess.why.workloads import pods_of
from mlk8s.spec.quantity import parse_quantity

_FIRST = 60.0  # seconds until a recommender has looked at a new object, and the metrics API at a new pod
_APPLIES = ("Recreate", "Auto", "InPlaceOrRecreate")
_EVICTS = ("Recreate", "Auto")
_MIN_REPLICAS = 2  # what VPA's updater keeps, unless it or the VPA says otherwise


def vertical_autoscaler(item: Object, facts: Facts) -> Answer:
    """Return why a VPA recommends nothing, or why its recommendation does not reach the pods."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    facts.want("Pod", "Event", "APIService", *TARGETS)
    reference = item["spec"].get("targetRef") or {}
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    target = facts.one(kind, name) if kind in TARGETS else None
    old = age(item["metadata"].get("creationTimestamp"), facts.now) > _FIRST
    if not (item.get("status") or {}).get("conditions"):
        if not old:
            return Answer("the recommender has not looked yet", starting=True)
        return _broken("vpa-absent", "no VPA recommender looks at it", item,
                       "see its pods: `kubectl get pods -A | grep vpa-recommender`")  # fmt: skip
    state = condition(item, "ConfigUnsupported")
    if state.get("status") == "True":
        words = str(state.get("message", "")).removeprefix("Cannot read targetRef. Reason: ")
        return _broken("vpa-no-target", f"it cannot read what it looks after: {words}", item,
                       "correct spec.targetRef, or create what it names", state)  # fmt: skip
    down = api_cause("metrics.k8s.io", "what pods use", item, facts, asker="VPA")
    if down is not None:  # the recommender then goes on with what it knew, or recommends its minimum
        return Answer(down.message, replace(down, id="vpa-no-metrics"))
    pods = [pod for pod in pods_of(target, facts) if not terminating(pod)] if target is not None else []
    if not is_true(item, "RecommendationProvided"):
        return _nothing(item, f"{kind} {name}", pods, target, facts)
    return _provided(item, pods, facts)


def _nothing(item: Object, what: str, pods: Sequence[Object], target: Object | None, facts: Facts) -> Answer:
    state = condition(item, "RecommendationProvided")
    if not pods and (target is not None or is_true(item, "NoPodsMatched")):
        return _broken("vpa-no-pods", f"{what} has no pods to measure", item,
                       f"see why: `mlk8s why {what.lower().replace(' ', '/')}`", state)  # fmt: skip
    sick = of_pods(pods, facts)
    if sick is not None and not any(is_true(pod, "Ready") for pod in pods):
        return Answer(f"its pods do not run: {sick.message}", sick)
    youngest = min((age(p["status"].get("startTime"), facts.now) for p in pods), default=_FIRST)
    if youngest < _FIRST:
        return Answer(
            f"its pods have run for {youngest:.0f} s; a recommendation takes a minute", starting=True
        )
    remedy = f"see `kubectl top pods -n {facts.namespace}`, and the log of VPA's recommender"
    return _broken(
        "vpa-no-metrics", f"VPA has seen no CPU and memory of the pods of {what}", item, remedy, state
    )


def _provided(item: Object, pods: Sequence[Object], facts: Facts) -> Answer:
    told = (item["status"].get("recommendation") or {}).get("containerRecommendations") or []
    policy = item["spec"].get("updatePolicy") or {}
    mode = policy.get("updateMode", "Recreate")
    amounts = "; ".join(f"{one['containerName']} {_amounts(one['target'])}" for one in told) or "nothing"
    if mode == "Off":
        return Answer(f"it recommends {amounts}, and its mode Off applies nothing")
    facts.want("MutatingWebhookConfiguration")
    if not _admits(facts):
        words = (
            f"it recommends {amounts}; VPA's admission controller, which gives it to new pods, is not there"
        )
        return _broken("vpa-no-admission", words, item, "install it (MutatingWebhookConfiguration "
                       "vpa-webhook-config); on a local cluster: `mlk8s up --with vpa`")  # fmt: skip
    found = ((pod["metadata"]["name"], _outside(pod, told)) for pod in pods)
    far = next((f"pod {name} {words}" for name, words in found if words), None)
    if far is None or mode not in _APPLIES:
        return Answer(f"it recommends {amounts}")
    updaters = [
        p for p in facts.of("*/Pod") if "vpa-updater" in p["metadata"]["name"] and is_true(p, "Ready")
    ]
    if not updaters and not facts.unseen("*/Pod"):
        words = f"{far}, and VPA's updater, which changes running pods, does not run"
        remedy = "bring its Deployment back: `kubectl get deployments -A | grep vpa-updater`"
        return _broken("vpa-no-updater", words, item, remedy)
    least = int(policy.get("minReplicas") or _MIN_REPLICAS)
    if mode in _EVICTS and len(pods) < least:
        words = f"{far}, and the updater evicts none where fewer than {least} run"
        remedy = "run more replicas, or set spec.updatePolicy.minReplicas: 1 where a pause does no harm"
        return _broken("vpa-few-replicas", words, item, remedy)
    return Answer(f"it recommends {amounts}; {far}", starting=True)


def _admits(facts: Facts) -> bool:
    """Return whether VPA's webhook is registered, or whether that may not be seen."""
    if facts.unseen("MutatingWebhookConfiguration"):
        return True
    hooks = (h for c in facts.of("MutatingWebhookConfiguration") for h in c.get("webhooks") or ())
    rules = [rule for hook in hooks for rule in hook.get("rules") or ()]
    return any("verticalpodautoscalers" in (rule.get("resources") or ()) for rule in rules)


def _outside(pod: Object, told: Sequence[dict[str, Any]]) -> str | None:
    """Return what a container asks for where that is out of the recommended bounds."""
    for one in told:
        for container in pod["spec"]["containers"]:
            if container["name"] != one["containerName"]:
                continue
            asks = (container.get("resources") or {}).get("requests") or {}
            for name, low in (one.get("lowerBound") or {}).items():
                high = (one.get("upperBound") or {}).get(name, low)
                now = parse_quantity(str(asks.get(name, "0")))
                if not parse_quantity(str(low)) <= now <= parse_quantity(str(high)):
                    return f"requests {name} {asks.get(name, 'none')}, recommended is {one['target'][name]}"
    return None


def _amounts(target: Object) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(target.items()))


def _broken(key: str, message: str, item: Object, remedy: str, state: Object | None = None) -> Answer:
    return Answer(message, Cause(key, message, place(item), remedy, evidence=shown(state or {})))
