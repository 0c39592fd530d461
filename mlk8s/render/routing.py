"""The way to a model server: a ClusterIP Service and an Ingress, one pair a workload."""

from __future__ import annotations

from mlk8s.render.common import Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.service import ModelService

PORT = 8080


def route_path(spec: ModelService, facts: RenderFacts) -> str:
    """Return the URL path that a service answers under."""
    path = spec.route.path if spec.route is not None else None
    return path or f"/{facts.namespace}/{spec.name}"


def service_url(spec: ModelService, facts: RenderFacts) -> str | None:
    """Return the service's address as seen from the user, without a trailing slash; None without a route."""
    if spec.route is None or facts.ingress_url is None:
        return None
    base = facts.ingress_url.rstrip("/")
    return base + route_path(spec, facts).rstrip("/")


def cluster_service(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return the Service of one workload.

    Each workload has its own: Traefik keys a canary by its primary Service, so a shared one would put the
    canary on every Ingress that leads to it.
    """
    body = {
        "type": "ClusterIP",
        "selector": identity.selector,
        "ports": [
            {"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
        ],
    }
    labels = service_labels(spec, identity)
    return manifest("v1", "Service", identity.instance, facts.namespace, labels, spec=body)


def ingress(
    spec: ModelService, facts: RenderFacts, identity: Identity, annotations: dict[str, str] | None = None
) -> Manifest:
    """Return the Ingress of one workload; the server knows its prefix, so no controller rewrites paths."""
    route = spec.route
    if route is None:
        raise ValueError("a service without a route has no Ingress")
    backend = {"service": {"name": identity.instance, "port": {"name": "http"}}}
    rule: Manifest = {
        "http": {"paths": [{"path": route_path(spec, facts), "pathType": "Prefix", "backend": backend}]}
    }
    if route.host is not None:
        rule = {"host": route.host, **rule}
    body: Manifest = {"rules": [rule]}
    ingress_class = route.ingress_class or facts.ingress_class
    if ingress_class is not None:
        body = {"ingressClassName": ingress_class, **body}
    labels = service_labels(spec, identity)
    return manifest(
        "networking.k8s.io/v1", "Ingress", identity.instance, facts.namespace, labels, annotations, spec=body
    )
