"""How many pods there are: the HorizontalPodAutoscaler and the PodDisruptionBudget."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.render.metrics import hpa_metric, quantity
from mlk8s.render.waived import of_autoscaler
from mlk8s.spec.autoscale import Autoscale, Behavior
from mlk8s.spec.service import ModelService

_UP = (
    {"type": "Percent", "value": 100, "periodSeconds": 15},
    {"type": "Pods", "value": 4, "periodSeconds": 15},
)


def autoscaler(spec: ModelService, facts: RenderFacts, identity: Identity, autoscale: Autoscale) -> Manifest:
    """Return the HPA of one workload."""
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": identity.instance},
        "minReplicas": autoscale.min,
        "maxReplicas": autoscale.max,
        "metrics": [hpa_metric(item, identity, facts.namespace) for item in autoscale.followed],
        "behavior": behavior(autoscale),
    }
    labels = service_labels(spec, identity)
    waived = of_autoscaler(autoscale)
    return manifest(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        identity.instance,
        facts.namespace,
        labels,
        waived,
        spec=body,
    )


def behavior(autoscale: Autoscale) -> Manifest:
    """Return an HPA's `behavior`.

    Unless the spec says otherwise, a step may double the pods or add four, whichever is more, every 15 s, and
    remove all that are too many: the stabilisation windows decide when, so that one pair of numbers describes
    the behaviour.
    """
    return {
        "scaleUp": _direction(autoscale.scale_up, autoscale.scale_up_stabilization, _UP),
        "scaleDown": _direction(autoscale.scale_down, autoscale.scale_down_stabilization, _UP[:1]),
    }


def _direction(wanted: Behavior, stabilization: float, policies: tuple[Manifest, ...]) -> Manifest:
    if wanted.policies is not None:
        policies = tuple(
            {"type": item.type, "value": item.value, "periodSeconds": ceil(item.period)}
            for item in wanted.policies
        )
    rules: Manifest = {
        "stabilizationWindowSeconds": ceil(
            stabilization if wanted.stabilization is None else wanted.stabilization
        ),
        "selectPolicy": wanted.select,
        "policies": [dict(item) for item in policies],
    }
    if wanted.tolerance is not None:
        rules["tolerance"] = quantity(wanted.tolerance) if wanted.tolerance else "0"
    return rules


def disruption_budget(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return the PDB: a drain takes one pod at a time, and may always take one that is broken anyway."""
    body = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": identity.selector},
    }
    labels = service_labels(spec, identity)
    return manifest("policy/v1", "PodDisruptionBudget", identity.instance, facts.namespace, labels, spec=body)
