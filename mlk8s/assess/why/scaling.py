"""Why a HorizontalPodAutoscaler does not scale."""

from __future__ import annotations

from typing import Any

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, age, condition, is_true, place, terminating
from mlk8s.assess.sample import hpa_facts
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.metrics import GROUPS, api_cause, keda_serves, no_rule, pods_metric
from mlk8s.assess.why.pods import of_pods
from mlk8s.assess.why.reading import shown
from mlk8s.assess.why.room import requested
from mlk8s.assess.why.triggers import owner_of, sleeping, triggers_cause
from mlk8s.assess.why.workloads import pods_of

_FIRST = 60.0  # seconds until kubelet, scrape and HPA have seen a new pod's CPU twice
TARGETS = ("Deployment", "StatefulSet", "ReplicaSet")


def autoscaler(item: Object, facts: Facts) -> Answer:
    """Return why an HPA does not scale; `<unknown>` is walked back to the link that is broken."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    facts.want("Pod", "Event", "APIService", *TARGETS)
    reference = item["spec"]["scaleTargetRef"]
    kind, name = reference["kind"], reference["name"]
    target = facts.one(kind, name) if kind in TARGETS else None
    scaled = owner_of(item, facts)
    cause = triggers_cause(scaled, target, facts) if scaled is not None else None
    if cause is not None:
        return Answer(cause.message, cause)
    able, active, limited = (
        condition(item, key) for key in ("AbleToScale", "ScalingActive", "ScalingLimited")
    )
    if kind in TARGETS and target is None:
        there = ", ".join(t["metadata"]["name"] for t in facts.of(kind)) or "none"
        return _broken(
            "hpa-no-target",
            f"it scales {kind} {name}, which is not there (there is: {there})",
            item,
            "correct spec.scaleTargetRef, or create what it names",
            able,
        )
    if able.get("status") == "False":
        return _broken("hpa-no-target", f"it cannot scale {kind} {name}: {able.get('message')}", item,
                       "correct spec.scaleTargetRef: it names nothing that can be scaled", able)  # fmt: skip
    if target is not None and int(target["spec"].get("replicas", 1)) == 0:
        if (waker := sleeping(dict(target) | {"kind": kind}, facts)) is not None:
            return Answer(
                f"{kind} {name} sleeps until a trigger of ScaledObject {waker['metadata']['name']} wakes it"
            )
        words = f"{kind} {name} has 0 replicas, which turns the autoscaler off"
        return _broken("hpa-disabled", words, dict(target) | {"kind": kind},
                       f"`kubectl scale {kind.lower()} {name} --replicas=1`", active)  # fmt: skip
    if active.get("status") == "False":
        return _inactive(item, target, active, facts)
    if not active:
        return Answer("the autoscaler has not looked yet", starting=True)
    return _scales(item, target, limited, facts)


def _scales(item: Object, target: Object | None, limited: Object, facts: Facts) -> Answer:
    seen = hpa_facts(dict(item))
    summary = f"{seen['current']} of at most {seen['max']} replicas; {_values(seen)}"
    if limited.get("status") == "True" and limited.get("reason") == "TooManyReplicas":
        return _broken(
            "hpa-at-max",
            f"it wants more than its maximum of {seen['max']} replicas: {_values(seen)}",
            item,
            f"raise maxReplicas above {seen['max']} (mlk8s: autoscale.max), or make each pod faster",
            limited,
        )
    if target is not None:
        unready = [
            pod for pod in pods_of(target, facts) if not is_true(pod, "Ready") and not terminating(pod)
        ]
        cause = of_pods(unready, facts)
        if cause is not None:
            return Answer(summary, cause)
    return Answer(summary)


def _inactive(item: Object, target: Object | None, active: Object, facts: Facts) -> Answer:
    words = str(active.get("message", ""))
    pods = [pod for pod in pods_of(target, facts) if not terminating(pod)] if target is not None else []
    metric = _failing(item, words)
    kind, name = str(metric.get("type", "")), _name(metric)
    if active.get("reason") in ("InvalidSelector", "AmbiguousSelector"):
        return _broken("hpa-selector", f"its selector does not tell its pods from others: {words}", item,
                       "give each HPA a target of its own, with a selector of its own", active)  # fmt: skip
    if kind in GROUPS:
        down = api_cause(GROUPS[kind], name, item, facts)
        if down is not None:
            return Answer(down.message, down)
    if target is not None and not pods:
        reference = item["spec"]["scaleTargetRef"]
        return _no_pods(item, reference["kind"], reference["name"], active)
    bare = _without_request(metric, pods)
    if bare is not None:
        return _broken(
            "hpa-no-request",
            f"it wants a percentage of the requested {name}, and container {bare} of its pods requests none",
            item,
            f"set resources.requests.{name} of container {bare}, or use an averageValue target",
            active,
        )
    sick = of_pods([pod for pod in pods if not is_true(pod, "Ready")], facts)
    if sick is not None and not any(is_true(pod, "Ready") for pod in pods):
        return Answer(words, sick)
    if kind == "Pods":
        cause = pods_metric(name, pods, item, facts)
        if cause is not None:
            return Answer(cause.message, cause)
        return Answer(f"{name} has just come; the HPA looks every 15 s", starting=True)
    if kind == "External" and (served := keda_serves(name, item, facts)) is not None:
        return Answer(served.message, served)
    unruled = no_rule(name, item, facts) if kind in ("External", "Object") else None
    if unruled is not None:
        return Answer(unruled.message, unruled)
    youngest = min((age(pod["status"].get("startTime"), facts.now) for pod in pods), default=_FIRST)
    if kind == "Resource" and youngest < _FIRST:
        return Answer(f"its pods have run for {youngest:.0f} s; {name} takes a minute", starting=True)
    return _broken("hpa-metric", f"it cannot have {name or 'its metric'}: {words}", item,
                   "see the metric at its source; the words name the API that was asked", active)  # fmt: skip


def _without_request(metric: Object, pods: list[Object]) -> str | None:
    """Return a container that requests none of what the HPA wants a percentage of."""
    section = metric.get("resource") or metric.get("containerResource") or {}
    if (section.get("target") or {}).get("type") != "Utilization":
        return None
    for pod in pods:
        for container in pod["spec"]["containers"]:
            if section.get("container") in (None, container["name"]) and not requested(
                {"spec": {"containers": [container]}}, str(section["name"])
            ):
                return str(container["name"])
    return None


def _no_pods(item: Object, kind: str, name: str, active: Object) -> Answer:
    remedy = f"see why: `mlk8s why {kind.lower()}/{name}`"
    return _broken("hpa-no-pods", f"{kind} {name} has no pods to measure", item, remedy, active)


def _failing(item: Object, words: str) -> dict[str, Any]:
    """Return the metric that the HPA's words are about; the first one where they name none."""
    metrics: list[dict[str, Any]] = list(item["spec"].get("metrics") or [{}])
    return next((metric for metric in metrics if _name(metric) and _name(metric) in words), metrics[0])


def _name(metric: Object) -> str:
    kind = str(metric.get("type", ""))
    section = metric.get(kind[:1].lower() + kind[1:]) or {}
    return str((section.get("metric") or {}).get("name") or section.get("name") or "")


def _values(seen: dict[str, Any]) -> str:
    value = "unknown" if seen["metric"] is None else f"{seen['metric']:g}"
    target = "?" if seen["target"] is None else f"{seen['target']:g}"
    return f"{seen['name']} is {value}, target {target}"


def _broken(key: str, message: str, item: Object, remedy: str, state: Object) -> Answer:
    return Answer(message, Cause(key, message, place(item), remedy, evidence=shown(state)))
