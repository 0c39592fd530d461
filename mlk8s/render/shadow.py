"""A shadow's objects: the pods of the other version, and Traefik's rule that copies predictions to them.

The rule matches POSTs to `infer` only, more narrowly and at a higher priority than the service's own Ingress,
which stays as it is: without the rule everything is as before. The path is not rewritten: each server knows
the service's prefix. https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/crd/
"""

from __future__ import annotations

from mlk8s.render.bundle import apply_order
from mlk8s.render.canary import canary_spec
from mlk8s.render.common import Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import PORT, route_path, route_paths
from mlk8s.render.service import render_workload
from mlk8s.spec.canary import Canary
from mlk8s.spec.route import Route
from mlk8s.spec.service import ModelService
from mlk8s.spec.shadow import Shadow

API = "traefik.io/v1alpha1"
PRIORITY = 1_000_000_000
"""Above what any rule gets by its length, which is Traefik's default."""
HTTP, HTTPS = "web", "websecure"
"""Traefik's entry points in the platform."""


def as_canary(shadow: Shadow) -> Canary:
    """Return the version and the pods of a shadow."""
    return Canary(model=shadow.model, digest=shadow.digest, replicas=shadow.replicas)


def shadow_workload(stable: ModelService, shadow: Shadow, facts: RenderFacts) -> list[Manifest]:
    """Return the shadow's pods and what is theirs, in apply order: nothing leads to them yet."""
    identity = Identity(stable.name, "shadow")
    spec = canary_spec(stable, as_canary(shadow))
    return apply_order(render_workload(spec, facts, identity, shadow.replicas))


def mirror(stable: ModelService, shadow: Shadow, facts: RenderFacts) -> list[Manifest]:
    """Return the mirror and the rule that leads to it, in apply order.

    Raises:
        ValueError: the service has no route.
    """
    if stable.route is None:
        raise ValueError("a service without a route has nothing to mirror")
    identity = Identity(stable.name, "shadow")
    labels = service_labels(canary_spec(stable, as_canary(shadow)), identity)
    copies = {"name": identity.instance, "port": PORT, "percent": shadow.percent}
    body = {"name": Identity(stable.name).address, "port": PORT, "maxBodySize": shadow.max_body}
    split = {"mirroring": {**body, "mirrors": [copies]}}
    rule = {
        "kind": "Rule",
        "match": match(stable, stable.route, facts),
        "priority": PRIORITY,
        "services": [{"kind": "TraefikService", "name": identity.instance}],
    }
    return [
        manifest(API, "TraefikService", identity.instance, facts.namespace, labels, spec=split),
        *(
            manifest(API, "IngressRoute", name, facts.namespace, labels, spec={**way, "routes": [rule]})
            for name, way in _ways(identity.instance, stable.route)
        ),
    ]


def _ways(name: str, route: Route) -> list[tuple[str, Manifest]]:
    """Return a name and an entry for each way that requests come in: a router has TLS or has none."""
    if route.tls is None:
        return [(name, {"entryPoints": [HTTP]})]
    secure = (name, {"entryPoints": [HTTPS], "tls": {"secretName": route.tls}})
    return [secure, (f"{name}-http", {"entryPoints": [HTTP]})] if route.redirect is False else [secure]


def match(stable: ModelService, route: Route, facts: RenderFacts) -> str:
    """Return Traefik's rule for predictions of a service: its host, its path, and what its route lets in."""
    base = _literal(route_path(stable, facts).rstrip("/"))
    parts = ["Method(`POST`)", f"PathRegexp(`^{base}/v2/models/[^/]+(/versions/[^/]+)?/infer$`)"]
    if route.host is not None and route.host.startswith("*."):
        parts.insert(0, rf"HostRegexp(`^[^.]+\.{_literal(route.host[2:])}$`)")
    elif route.host is not None:
        parts.insert(0, f"Host(`{route.host}`)")
    if route.paths:
        let_in = [_path(path, kind) for path, kind in route_paths(stable, route, facts)]
        parts.append(f"({' || '.join(let_in)})")
    return " && ".join(parts)


def _path(path: str, kind: str) -> str:
    if kind == "Exact":
        return f"Path(`{path}`)"
    return f"PathRegexp(`^{_literal(path.rstrip('/'))}(/|$)`)"


def _literal(text: str) -> str:
    """Return the text for Go's regular expressions: of what paths and hosts may hold, the dot is special."""
    return text.replace(".", r"\.")
