"""The way to a service from inside its cluster: through the ingress controller's own Service."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.clients.traffic import find_controller, way_in
from mlk8s.errors import ClusterError, NotFound
from mlk8s.operations.service import Service
from mlk8s.render.network import namespace_peer


@dataclass(frozen=True)
class Inside:
    """Where load from inside goes.

    Attributes:
        host: name of the Service in the cluster's DNS.
        base: its URL, without a path.
        egress: the rule of a NetworkPolicy that leads there.
    """

    host: str
    base: str
    egress: Manifest


def inside(cluster: Cluster, service: Service) -> Inside:
    """Return where pods send what users send to the service's address.

    Raises:
        NotFound: no Service of the ingress controller can be seen.
    """
    found = way_in(cluster, service.name, service.namespace)
    secure = urlsplit(service.inference.url).scheme == "https"
    if found is not None and found.base is not None:  # an address of the service's own
        return _way(cluster.get("Service", service.name, service.namespace), secure)
    told = service.platform.ingress_service
    if told is not None:
        namespace, _, name = told.partition("/")
        try:
            return _way(cluster.get("Service", name, namespace), secure)
        except ClusterError:  # who may not look there sends to the usual port
            return _by_name(name, namespace, secure)
    for item in _candidates(cluster, found.ingress_class if found is not None else None):
        if _port(item, secure) is not None:
            return _way(item, secure)
    raise NotFound(
        "the Service of the ingress controller is not to be seen",
        where=f"context {cluster.context!r}",
        expected="ingress-service: NAMESPACE/NAME in ConfigMap mlk8s-system/mlk8s-platform",
        next_step="add it there, or load the service from this machine, without workers",
    )


def _candidates(cluster: Cluster, ingress_class: str | None) -> list[Manifest]:
    """Return the Services that lead to pods of the ingress controller."""
    found: list[Manifest] = []
    try:
        for running in find_controller(cluster, ingress_class).running:
            kind, _, place = running.workload.partition(" ")
            namespace, _, name = place.partition("/")
            labels = cluster.get(kind, name, namespace)["spec"]["template"]["metadata"]["labels"]
            for item in cluster.list("Service", namespace):
                selector = item["spec"].get("selector") or {}
                if selector and selector.items() <= labels.items():
                    found.append(item)
    except ClusterError:
        pass  # not for us to see
    return sorted(found, key=lambda item: item["spec"].get("type") != "LoadBalancer")


def _port(item: Manifest, secure: bool) -> Manifest | None:
    """Return the port of a Service that speaks HTTP, or HTTPS."""
    names = ("https", "websecure") if secure else ("http", "web")
    ports = item["spec"]["ports"]
    usual = [port for port in ports if port["port"] == (443 if secure else 80)]
    named = [port for port in ports if port.get("name") in names]
    return next(iter([*usual, *named]), None)


def _way(item: Manifest, secure: bool) -> Inside:
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    port = _port(item, secure) or item["spec"]["ports"][0]
    host = f"{name}.{namespace}.svc"
    # A policy sees the pod behind the Service, so it names the pod's port.
    rule: Manifest = {
        "to": [{**namespace_peer(namespace), "podSelector": {"matchLabels": item["spec"]["selector"]}}],
        "ports": [{"protocol": "TCP", "port": port.get("targetPort", port["port"])}],
    }
    return Inside(host, f"{'https' if secure else 'http'}://{host}:{port['port']}", rule)


def _by_name(name: str, namespace: str, secure: bool) -> Inside:
    host = f"{name}.{namespace}.svc"
    return Inside(
        host,
        f"{'https' if secure else 'http'}://{host}:{443 if secure else 80}",
        {"to": [namespace_peer(namespace)]},
    )
