"""KEDA's ScaledObject: the same metrics as an HPA's, and pods down to none (https://keda.sh)."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import Identity, Manifest, manifest, needed, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.render.metrics import demand, query
from mlk8s.render.scaling import behavior
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.metric import Follow
from mlk8s.spec.service import ModelService

API = "keda.sh/v1alpha1"
HPA_PREFIX = "keda-hpa-"
"""What KEDA puts before a ScaledObject's name for its HPA."""

_COOLDOWN = 300.0
_POLLING = 5.0


def scaled_object(
    spec: ModelService, facts: RenderFacts, identity: Identity, autoscale: Autoscale
) -> Manifest:
    """Return the ScaledObject of one workload; KEDA makes an HPA `keda-hpa-NAME` of it.

    With `min` 0 the requests that the ingress controller counts are a trigger, too: no pod has a metric while
    there is none. A new service may not go to zero before its cooldown, nor while its first pod may
    still be starting: it is seen to serve first.

    Raises:
        UsageError: the platform does not name its Prometheus.
    """
    address = needed(facts.prometheus_url, "Prometheus", "prometheus in ConfigMap mlk8s-platform")
    cooldown = ceil(autoscale.cooldown or _COOLDOWN)
    triggers = [_trigger(item, autoscale, address, facts, identity) for item in autoscale.followed]
    if autoscale.min == 0:
        asked = demand(identity, facts.namespace)
        triggers.append(_prometheus("demand", address, asked, threshold=1.0, activation=0.0))
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": identity.instance},
        "minReplicaCount": autoscale.min,
        "maxReplicaCount": autoscale.max,
        "pollingInterval": ceil(autoscale.polling or _POLLING),
        "cooldownPeriod": cooldown,
        "initialCooldownPeriod": max(cooldown, ceil(spec.startup_timeout)),
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(autoscale)}},
        "triggers": triggers,
    }
    labels = service_labels(spec, identity)
    return manifest(API, "ScaledObject", identity.instance, facts.namespace, labels, spec=body)


def _trigger(
    follow: Follow, autoscale: Autoscale, address: str, facts: RenderFacts, identity: Identity
) -> Manifest:
    metric = follow.declared
    if metric is None:
        value = str(round(follow.target))
        return {"type": follow.resource, "metricType": "Utilization", "metadata": {"value": value}}
    asked = query(follow, metric, identity, facts.namespace)
    trigger = _prometheus(metric.name, address, asked, follow.target, autoscale.activation or 0.0)
    return trigger if follow.per == "pod" else trigger | {"metricType": "Value"}


def _prometheus(name: str, address: str, asked: str, threshold: float, activation: float) -> Manifest:
    return {
        "type": "prometheus",
        "name": name.replace("_", "-"),
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": address,
            "query": asked,
            "threshold": f"{threshold:.10g}",
            "activationThreshold": f"{activation:.10g}",
        },
    }
