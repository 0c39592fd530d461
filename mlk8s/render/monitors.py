"""Scrape declarations for the Prometheus operator, where pods are not found by annotation."""

from __future__ import annotations

from mlk8s.render.common import COMPONENT, NAME, TRACK, VERSION, Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.service import ModelService

API = "monitoring.coreos.com/v1"
_INTERVAL = "5s"


def pod_monitor(spec: ModelService, facts: RenderFacts) -> Manifest:
    """Return the PodMonitor of a service's pods: the series get the labels that every metric is found by."""
    identity = Identity(spec.name)
    body = {"selector": _pods(identity), "podMetricsEndpoints": [_endpoint()]}
    labels = service_labels(spec, identity)
    return manifest(API, "PodMonitor", spec.name, facts.namespace, labels, spec=body)


def service_monitor(spec: ModelService, facts: RenderFacts) -> Manifest:
    """Return the ServiceMonitor of a service, for a Prometheus that selects only these.

    Never beside a PodMonitor: everything would count twice.
    """
    identity = Identity(spec.name)
    body = {"selector": _pods(identity), "endpoints": [_endpoint()]}
    labels = service_labels(spec, identity)
    return manifest(API, "ServiceMonitor", spec.name, facts.namespace, labels, spec=body)


def _endpoint() -> Manifest:
    relabelings: list[Manifest] = [
        {"sourceLabels": [_meta(label)], "targetLabel": target, "action": "replace"}
        for label, target in ((NAME, "service"), (TRACK, "track"), (VERSION, "version"))
    ]
    # Nobody gets a shadow's answers: they are none of the service's.
    relabelings.append(
        {
            "sourceLabels": ["service", "track"], "regex": "(.+);shadow", "replacement": "$1-shadow",
            "targetLabel": "service", "action": "replace",
        }
    )  # fmt: skip
    return {"port": "http", "path": "/metrics", "interval": _INTERVAL, "relabelings": relabelings}


def _pods(identity: Identity) -> Manifest:
    return {"matchLabels": {key: identity.selector[key] for key in (NAME, COMPONENT)}}


def _meta(label: str) -> str:
    return "__meta_kubernetes_pod_label_" + label.replace(".", "_").replace("/", "_")
