"""The way to a model server: a Service and an Ingress, one pair a workload."""

from __future__ import annotations

from mlk8s.render.common import BASE_PATH, Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.render.waived import of_cluster_service, of_ingress
from mlk8s.spec.pods import SERVER_PORT
from mlk8s.spec.route import ExternalName, Route, ServiceType
from mlk8s.spec.service import ModelService

PORT = SERVER_PORT
SSL_REDIRECT = "nginx.ingress.kubernetes.io/ssl-redirect"


def route_path(spec: ModelService, facts: RenderFacts) -> str:
    """Return the URL path that a service answers under."""
    path = spec.route.path if spec.route is not None else None
    return path or f"/{facts.namespace}/{spec.name}"


def service_url(spec: ModelService, facts: RenderFacts) -> str | None:
    """Return the service's address as seen from the user, without a trailing slash; None without a route."""
    route = spec.route
    secure = route is not None and (
        route.tls is not None or (route.gateway is not None and facts.gateway_tls)
    )
    base = facts.ingress_https_url if secure else facts.ingress_url
    if route is None or base is None:
        return None
    return base.rstrip("/") + route_path(spec, facts).rstrip("/")


def route_paths(spec: ModelService, route: Route, facts: RenderFacts) -> list[tuple[str, str]]:
    """Return the URL paths that are let in, each with its type, `Prefix` or `Exact`."""
    base = route_path(spec, facts)
    if not route.paths:
        return [(base, "Prefix")]
    root = base.rstrip("/")
    return [(root + rule.path.rstrip("/") or "/", rule.type) for rule in route.paths]


def cluster_service(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return the Service that leads to one workload; green's is the service's own.

    Each workload has its own: Traefik keys a canary by its primary Service, so a shared one would put the
    canary on every Ingress that leads to it.
    """
    port: Manifest = {"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}
    port["appProtocol"] = "http"
    kind = spec.service_type
    if kind.node_port is not None:
        port["nodePort"] = kind.node_port
    body = {**_type(kind), "selector": identity.selector, "ports": [port]}
    labels = service_labels(spec, identity)
    waived = of_cluster_service(kind)
    return manifest("v1", "Service", identity.address, facts.namespace, labels, waived, spec=body)


def _type(kind: ServiceType) -> Manifest:
    if kind.type == "Headless":
        return {"type": "ClusterIP", "clusterIP": "None"}
    body: Manifest = {"type": kind.type}
    if kind.external:
        # The callers' own addresses are seen only where no second node stands between.
        body["externalTrafficPolicy"] = kind.external_traffic_policy or (
            "Local" if kind.source_ranges else "Cluster"
        )
    if kind.type == "LoadBalancer":
        if kind.load_balancer_class is not None:
            body["loadBalancerClass"] = kind.load_balancer_class
        if kind.source_ranges:
            body["loadBalancerSourceRanges"] = list(kind.source_ranges)
    return body


def ingress(
    spec: ModelService, facts: RenderFacts, identity: Identity, annotations: dict[str, str] | None = None
) -> Manifest:
    """Return the Ingress of one workload; the server knows its prefix, so no controller rewrites paths."""
    route = spec.route
    if route is None:
        raise ValueError("a service without a route has no Ingress")
    backend = {"service": {"name": identity.instance, "port": {"name": "http"}}}
    paths = [
        {"path": path, "pathType": kind, "backend": backend} for path, kind in route_paths(spec, route, facts)
    ]
    rule: Manifest = {"http": {"paths": paths}}
    if route.host is not None:
        rule = {"host": route.host, **rule}
    body: Manifest = {"rules": [rule]}
    if route.paths:
        annotations = {BASE_PATH: route_path(spec, facts), **(annotations or {})}
    if route.tls is not None:
        body["tls"] = [{"hosts": [route.host], "secretName": route.tls}]
        annotations = {SSL_REDIRECT: str(route.redirect is not False).lower(), **(annotations or {})}
    annotations = {**(annotations or {}), **of_ingress(route)}
    ingress_class = route.ingress_class or facts.ingress_class
    if ingress_class is not None:
        body = {"ingressClassName": ingress_class, **body}
    labels = service_labels(spec, identity)
    return manifest(
        "networking.k8s.io/v1", "Ingress", identity.instance, facts.namespace, labels, annotations, spec=body
    )


def render_external_name(spec: ExternalName, facts: RenderFacts) -> list[Manifest]:
    """Return the Service that is a CNAME to a host elsewhere."""
    body = {"type": "ExternalName", "externalName": spec.host}
    return [manifest("v1", "Service", spec.name, facts.namespace, spec.labels, spec=body)]
