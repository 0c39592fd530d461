"""The platform as a controller's pod sees it, and the ways that its NetworkPolicy has to leave open."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.clients.platform import Platform
from mlk8s.errors import Forbidden, Mlk8sError, NotFound
from mlk8s.operations.inside import inside
from mlk8s.operations.service import Service
from mlk8s.render.network import namespace_peer

_ANYWHERE = ({"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}})


def from_inside(service: Service) -> tuple[Platform, list[Manifest]]:
    """Return the platform as a pod sees it, and the egress rules that lead there.

    The storage is not reached from there: whoever starts a rollout has found the model's digest.
    """
    platform = service.platform
    seen = replace(platform, s3_endpoint_outside=None, ingress_url=None, ingress_https_url=None)
    namespace, _, rest = (platform.prometheus or "").partition("/")
    ways: list[Manifest] = [{"to": [namespace_peer(namespace)]}] if rest else []
    try:
        way = inside(service.cluster, service)
    except (NotFound, Forbidden):
        return seen, ways  # then the controller does not see who answers, and says so
    secure = way.base.startswith("https")
    told = replace(seen, ingress_https_url=way.base) if secure else replace(seen, ingress_url=way.base)
    return told, [*ways, way.egress]


def way_to_api(cluster: Cluster) -> Manifest:
    """Return the rule that leads to the API server: its Service, and what stands behind it."""
    try:
        service = cluster.get("Service", "kubernetes", "default")
        slices = cluster.list("EndpointSlice", "default", labels="kubernetes.io/service-name=kubernetes")
    except Mlk8sError:
        return {"to": list(_ANYWHERE), "ports": [_tcp(443), _tcp(6443)]}
    found = [service["spec"]["clusterIP"]]
    found += [address for item in slices for one in item["endpoints"] for address in one["addresses"]]
    ports = {443, *(port["port"] for item in slices for port in item["ports"])}
    blocks = [{"ipBlock": {"cidr": f"{address}/{128 if ':' in address else 32}"}} for address in found]
    return {"to": blocks, "ports": [_tcp(port) for port in sorted(ports)]}


def way_to_webhook(webhook: str | None) -> list[Manifest]:
    """Return the rules that lead to a webhook; none without one."""
    if webhook is None:
        return []
    url = urlsplit(webhook)
    return [{"to": list(_ANYWHERE), "ports": [_tcp(url.port or (443 if url.scheme == "https" else 80))]}]


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}
