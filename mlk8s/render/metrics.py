"""A declared metric as everybody needs it: the adapter's rule, the HPA's entry, a query for Prometheus."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from mlk8s.render.common import Identity, Manifest
from mlk8s.spec.metric import INGRESS_RATE, Follow, Metric

USER_RULES = "mlk8s-metrics"
"""ConfigMap in the platform's namespace with the metrics that users declared."""

DEMAND_WINDOW = 30
"""Seconds that one request counts as demand: several looks of KEDA, and a pod's start begins at the first."""


def hpa_metric(follow: Follow, identity: Identity, namespace: str) -> Manifest:
    """Return one entry of a HorizontalPodAutoscaler's `metrics` (autoscaling/v2)."""
    metric = follow.declared
    if metric is None:
        utilization = {"type": "Utilization", "averageUtilization": round(follow.target)}
        return {"type": "Resource", "resource": {"name": follow.resource, "target": utilization}}
    value = quantity(follow.target)
    per_pod = {"type": "AverageValue", "averageValue": value}
    target = per_pod if follow.per == "pod" else {"type": "Value", "value": value}
    named: Manifest = {"name": metric.name}
    if metric.kind == "object":
        described = {
            "apiVersion": _OF[metric.of],
            "kind": metric.of,
            "name": _object_name(follow, metric, identity),
        }
        return {"type": "Object", "object": {"metric": named, "describedObject": described, "target": target}}
    if metric.kind == "external":
        labels = external_labels(metric, identity, namespace)
        if labels:
            named["selector"] = {"matchLabels": labels}
        return {"type": "External", "external": {"metric": named, "target": target}}
    return {"type": "Pods", "pods": {"metric": named, "target": target}}


def external_labels(metric: Metric, identity: Identity, namespace: str) -> dict[str, str]:
    """Return what chooses an external metric's series; the Ingress's rate is that of the service's own."""
    own = {"ingress": f"{namespace}-{identity.service}"} if metric == INGRESS_RATE else {}
    return {**metric.labels, **own}


def adapter_rule(metric: Metric) -> Manifest:
    """Return the rule by which prometheus-adapter serves a metric.

    It belongs to `rules` of its configuration, an external metric's to `externalRules`; see
    https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/docs/config.md.
    """
    if metric.kind == "external":
        matchers = "<<.LabelMatchers>>"
        return {
            "seriesQuery": metric.series,
            "resources": {"namespaced": False},
            "name": {"matches": f"^{metric.series}$", "as": metric.name},
            "metricsQuery": f"{metric.aggregate}({_values(metric, '<<.Series>>', matchers)})",
        }
    label = "pod" if metric.kind == "pods" else metric.of.lower()
    found = _joined(['namespace!=""', f'{label}!=""', *_equal(metric.labels)])
    matchers = _joined(["<<.LabelMatchers>>", *_equal(metric.labels)])
    return {
        "seriesQuery": f"{metric.series}{{{found}}}",
        "resources": {"overrides": {name: {"resource": name} for name in ("namespace", label)}},
        "name": {"matches": f"^{metric.series}$", "as": metric.name},
        "metricsQuery": f"{metric.aggregate}({_values(metric, '<<.Series>>', matchers)}) by (<<.GroupBy>>)",
    }


def with_rules(config: str, declared: Mapping[str, str]) -> str:
    """Return the adapter's configuration with the rules of further metrics; one of the same name is replaced.

    Args:
        config: YAML.
        declared: each metric's declaration as JSON, by name: the data of ConfigMap `USER_RULES`.
    """
    values = yaml.safe_load(config)
    for _, text in sorted(declared.items()):
        metric = Metric(**json.loads(text))
        section = values.setdefault("externalRules" if metric.kind == "external" else "rules", [])
        others = [rule for rule in section if rule["name"].get("as") != metric.name]
        section[:] = [*others, adapter_rule(metric)]
    return yaml.safe_dump(values, sort_keys=False, width=110) if declared else config


def without_rule(config: str, metric: Metric) -> str:
    """Return the adapter's configuration without the rule of a metric."""
    values = yaml.safe_load(config)
    section = "externalRules" if metric.kind == "external" else "rules"
    values[section] = [rule for rule in values.get(section) or [] if rule["name"].get("as") != metric.name]
    return yaml.safe_dump(values, sort_keys=False, width=110)


def query(follow: Follow, metric: Metric, identity: Identity, namespace: str) -> str:
    """Return PromQL for one number: the metric of a whole service, which its pods share."""
    if metric.kind == "external":
        matchers = _joined(_equal(external_labels(metric, identity, namespace)))
        return f"{metric.aggregate}({_values(metric, metric.series, matchers)})"
    if metric.kind == "object":
        about = {metric.of.lower(): _object_name(follow, metric, identity)}
        labels = {"namespace": namespace, **about, **metric.labels}
        return f"{metric.aggregate}({_values(metric, metric.series, _joined(_equal(labels)))})"
    labels = {
        "namespace": namespace, "service": identity.service, "track": identity.track, **metric.labels
    }  # fmt: skip
    values = _values(metric, metric.series, _joined(_equal(labels)))
    return f"sum({values})" if metric.aggregate == "sum" else f"sum({metric.aggregate}({values}) by (pod))"


def demand(identity: Identity, namespace: str) -> str:
    """Return PromQL that is above 0 while somebody asks for a service, pods or not, and 1 at most.

    The controller's counter begins with the first request, which `rate` would not see: hence the difference
    from a value that may not be there yet.
    """
    series = f'{INGRESS_RATE.series}{{ingress="{namespace}-{identity.service}"}}'
    before = f"(sum({series} offset {DEMAND_WINDOW}s) or vector(0))"
    return f"clamp(sum({series}) - {before}, 0, 1)"


def quantity(value: float) -> str:
    """Return a number as a Kubernetes quantity, to a thousandth."""
    millis = max(1, round(value * 1000))
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def _object_name(follow: Follow, metric: Metric, identity: Identity) -> str:
    """Return what an object metric is about; Service and Ingress are shared by a service's workloads."""
    return follow.name or (identity.instance if metric.of == "Deployment" else identity.service)


_OF = {"Service": "v1", "Ingress": "networking.k8s.io/v1", "Deployment": "apps/v1"}


def _values(metric: Metric, series: str, matchers: str) -> str:
    selected = f"{series}{{{matchers}}}"
    return selected if metric.rate is None else f"rate({selected}[{metric.rate:g}s])"


def _equal(labels: Mapping[str, str]) -> list[str]:
    return [f'{name}="{value}"' for name, value in labels.items()]


def _joined(matchers: list[str]) -> str:
    return ",".join(matchers)
