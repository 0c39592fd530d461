"""HTTPRoute of a model service (Gateway API v1): one backend, or two with weights while a canary runs."""

from __future__ import annotations

from mlk8s.render.common import BASE_PATH, Identity, Manifest, manifest, service_labels
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import PORT, route_path, route_paths
from mlk8s.spec.service import ModelService


def http_route(
    spec: ModelService,
    facts: RenderFacts,
    gateway: str,
    *,
    weight: int | None = None,
    header: str | None = None,
) -> Manifest:
    """Return the HTTPRoute of a service.

    A rule with more header matches wins over one with fewer for the same path (Gateway API, HTTPRouteRule),
    so the header decides before the weights do.

    Args:
        gateway: NAMESPACE/NAME of the Gateway.
        weight: percent for the canary's Service; None means that there is no canary.
        header: header whose value `always` leads to the canary and `never` away from it.

    Raises:
        ValueError: the service has no route, or the gateway is not NAMESPACE/NAME.
    """
    if spec.route is None:
        raise ValueError("a service without a route has no HTTPRoute")
    namespace, slash, name = gateway.partition("/")
    if not (namespace and slash and name):
        raise ValueError(f"gateway {gateway!r}; expected NAMESPACE/NAME")
    paths: list[Manifest] = [
        {"path": {"type": "PathPrefix" if kind == "Prefix" else kind, "value": value}}
        for value, kind in route_paths(spec, spec.route, facts)
    ]
    stable = _backend(Identity(spec.name).instance)
    rules: list[Manifest] = []
    if weight is None:
        rules.append({"matches": paths, "backendRefs": [stable]})
    else:
        canary = _backend(Identity(spec.name, "canary").instance)
        for value, backend in (("always", canary), ("never", stable)) if header else ():
            headers = [{"type": "Exact", "name": header, "value": value}]
            matches = [{**path, "headers": headers} for path in paths]
            rules.append({"matches": matches, "backendRefs": [backend]})
        shares = [{**stable, "weight": 100 - weight}, {**canary, "weight": weight}]
        rules.append({"matches": paths, "backendRefs": shares})
    parent = {"namespace": namespace, "name": name}
    if spec.route.listener is not None:
        parent["sectionName"] = spec.route.listener
    body: Manifest = {"parentRefs": [parent], "rules": rules}
    if spec.route.host is not None:
        body["hostnames"] = [spec.route.host]
    labels = service_labels(spec, Identity(spec.name))
    notes = {BASE_PATH: route_path(spec, facts)} if spec.route.paths else None
    return manifest(
        "gateway.networking.k8s.io/v1", "HTTPRoute", spec.name, facts.namespace, labels, notes, spec=body
    )


def _backend(service: str) -> Manifest:
    return {"name": service, "port": PORT}
