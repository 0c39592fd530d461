"""NetworkPolicies: everything is denied but what a workload needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from mlk8s.render.common import Manifest, manifest
from mlk8s.render.facts import RenderFacts

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label that the API server puts on each namespace."""


def namespace_peer(name: str) -> Manifest:
    """Return the peer that is every pod of one namespace."""
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: name}}}


def network_policy(
    name: str,
    facts: RenderFacts,
    labels: Mapping[str, str],
    selector: Mapping[str, str],
    *,
    ingress: list[Manifest],
    storage_endpoint: str | None,
    egress: Sequence[Manifest] = (),
) -> Manifest:
    """Return the policy of the selected pods: callers as given; out to DNS, the object storage, `egress`."""
    ways = [*dns_ways(), *([way_to(storage_endpoint, facts)] if storage_endpoint else []), *egress]
    spec = {"podSelector": {"matchLabels": dict(selector)}, **rules(ingress, ways)}
    return manifest("networking.k8s.io/v1", "NetworkPolicy", name, facts.namespace, labels, spec=spec)


def rules(ingress: Sequence[Manifest], egress: Sequence[Manifest]) -> Manifest:
    """Return a policy's rules in both directions; nothing is let through but what they name.

    No empty list: the API server does not keep one, and every apply of it would count as a change.
    """
    given = {"ingress": list(ingress), "egress": list(egress)}
    return {"policyTypes": ["Ingress", "Egress"], **{name: items for name, items in given.items() if items}}


def dns_ways() -> list[Manifest]:
    """Return the egress rules that lead to the cluster's DNS.

    A policy sees the port of the pod behind the Service, which is not 53 where DNS runs without root: the
    pods with the conventional label are open on every port, any others of kube-system on 53.
    """
    pods = {**namespace_peer("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    return [{"to": [pods]}, {"to": [namespace_peer("kube-system")], "ports": ports}]


def way_to(endpoint: str, facts: RenderFacts) -> Manifest:
    """Return the egress rule that leads to the storage, or to a server that versions are read from.

    A policy names the port of the pod behind a Service, which only the platform's own storage has told us;
    of another Service in the cluster any port of its namespace is open.
    """
    url = urlsplit(endpoint)
    port = {"protocol": "TCP", "port": url.port or (443 if url.scheme == "https" else 80)}
    if endpoint == facts.storage_endpoint and facts.storage_namespace:
        return {"to": [namespace_peer(facts.storage_namespace)], "ports": [port]}
    parts = (url.hostname or "").split(".")
    if len(parts) >= 3 and parts[2] == "svc":
        return {"to": [namespace_peer(parts[1])]}
    return {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}], "ports": [port]}
