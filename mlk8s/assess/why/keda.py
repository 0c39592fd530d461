"""Why what KEDA scales does not scale."""

from __future__ import annotations

from mlk8s.assess.observed import Object, condition
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.scaling import TARGETS, autoscaler
from mlk8s.assess.why.triggers import asked_in_vain, triggers_cause


def scaled_object(item: Object, facts: Facts) -> Answer:
    """Return why a ScaledObject does not scale: KEDA, its triggers, then the HPA that KEDA made of it."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    facts.want("Pod", "Event", "APIService", "HorizontalPodAutoscaler", *TARGETS)
    spec = item["spec"]
    reference = spec["scaleTargetRef"]
    kind = reference.get("kind", "Deployment")
    target = facts.one(kind, reference["name"]) if kind in TARGETS else None
    cause = triggers_cause(item, target, facts)
    if cause is not None:
        return Answer(cause.message, cause)
    if not condition(item, "Ready"):
        return Answer("KEDA has not looked yet", starting=True)
    most = spec.get("maxReplicaCount", 100)
    if target is not None and int(target["spec"].get("replicas", 1)) == 0:
        quiet = asked_in_vain(item, facts)
        why = (
            "its queries have no value, which counts as 0" if quiet else "no trigger is above its activation"
        )
        return Answer(f"it sleeps at 0 of at most {most} replicas: {why}")
    name = (item.get("status") or {}).get("hpaName")
    hpa = facts.one("HorizontalPodAutoscaler", name) if name else None
    if hpa is None:
        return Answer("KEDA makes its HPA", starting=True)
    return autoscaler(dict(hpa) | {"kind": "HorizontalPodAutoscaler"}, facts)
