"""How many pods there are: the HorizontalPodAutoscaler and the PodDisruptionBudget."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.service import ModelService


def autoscaler(spec: ModelService, facts: RenderFacts, identity: Identity, autoscale: Autoscale) -> Manifest:
    """Return the HPA of one workload.

    A step may double the pods or add four, whichever is more, every 15 s, and remove all that are too many:
    the stabilisation windows of the spec decide when, so that one pair of numbers describes the behaviour.
    """
    policies = [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 4, "periodSeconds": 15},
    ]
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": identity.instance},
        "minReplicas": autoscale.min,
        "maxReplicas": autoscale.max,
        "metrics": [_metric(autoscale)],
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": ceil(autoscale.scale_up_stabilization),
                "selectPolicy": "Max",
                "policies": policies,
            },
            "scaleDown": {
                "stabilizationWindowSeconds": ceil(autoscale.scale_down_stabilization),
                "selectPolicy": "Max",
                "policies": policies[:1],
            },
        },
    }
    labels = service_labels(spec, identity)
    return manifest(
        "autoscaling/v2", "HorizontalPodAutoscaler", identity.instance, facts.namespace, labels, spec=body
    )


def _metric(autoscale: Autoscale) -> Manifest:
    if autoscale.metric in ("cpu", "memory"):
        target = {"type": "Utilization", "averageUtilization": round(autoscale.target)}
        return {"type": "Resource", "resource": {"name": autoscale.metric, "target": target}}
    value = {"type": "AverageValue", "averageValue": quantity(autoscale.target)}
    return {"type": "Pods", "pods": {"metric": {"name": autoscale.metric}, "target": value}}


def quantity(value: float) -> str:
    """Return a number as a Kubernetes quantity, to a thousandth."""
    millis = max(1, round(value * 1000))
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def disruption_budget(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return the PDB: a drain takes one pod at a time, and may always take one that is broken anyway."""
    body = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": identity.selector},
    }
    labels = service_labels(spec, identity)
    return manifest("policy/v1", "PodDisruptionBudget", identity.instance, facts.namespace, labels, spec=body)
