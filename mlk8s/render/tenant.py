"""A tenant as Kubernetes objects: namespace, quota, defaults, network, accounts and their rights."""

from __future__ import annotations

from typing import Any

from mlk8s.render.common import PULL_SECRETS, Manifest, manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.network import dns_ways, namespace_peer, rules, way_to
from mlk8s.render.rights import user_rules
from mlk8s.render.walls import walls
from mlk8s.spec.tenant import Tenant

NAME = "tenant"
"""Of the objects that a namespace has one of."""
_RBAC = "rbac.authorization.k8s.io"


def render_tenant(spec: Tenant, facts: RenderFacts) -> list[Manifest]:
    """Return every object of a tenant; in its own namespace but that one and the admission policy."""
    limits = {
        "type": "Container",
        "defaultRequest": dict(spec.limits.default_request),
        "default": dict(spec.limits.default),
        "min": dict(spec.limits.min),
        "max": dict(spec.limits.max),
    }
    limit = {key: value for key, value in limits.items() if value}
    found = [_namespace(spec), _of(spec, "v1", "LimitRange", NAME, spec={"limits": [limit]})]
    if spec.quota:
        found.append(_of(spec, "v1", "ResourceQuota", NAME, spec={"hard": dict(spec.quota)}))
    policies = _policies(spec, facts)
    return [*found, *policies, *walls(spec, policies), *_accounts(spec)]


def _of(tenant: Tenant, api_version: str, kind: str, name: str, /, **fields: Any) -> Manifest:
    return manifest(api_version, kind, name, tenant.name, {}, **fields)


def _namespace(spec: Tenant) -> Manifest:
    security: dict[str, str] = {}
    for mode in ("enforce", "audit", "warn"):
        security[f"pod-security.kubernetes.io/{mode}"] = spec.pod_security
        security[f"pod-security.kubernetes.io/{mode}-version"] = spec.pod_security_version
    notes = {PULL_SECRETS: ",".join(spec.image_pull_secrets)} if spec.image_pull_secrets else None
    return manifest("v1", "Namespace", spec.name, None, {**spec.labels, **security}, notes)


def _policies(spec: Tenant, facts: RenderFacts) -> list[Manifest]:
    """Return the policy that denies everything, and the one with the exceptions: policies add up."""
    allow = spec.allow
    every: Manifest = {"podSelector": {}}
    callers: list[Manifest] = [every] if allow.inside else []
    namespaces = [
        facts.ingress_namespace if allow.ingress else None,
        facts.prometheus_namespace if allow.prometheus else None,
        *allow.from_namespaces,
    ]
    callers += [namespace_peer(name) for name in dict.fromkeys(namespaces) if name is not None]
    ways: list[Manifest] = dns_ways() if allow.dns else []
    if allow.storage and facts.storage_endpoint is not None:
        ways.append(way_to(facts.storage_endpoint, facts))
    targets: list[Manifest] = [every] if allow.inside else []
    targets += [namespace_peer(name) for name in allow.to_namespaces]
    targets += [{"ipBlock": {"cidr": cidr}} for cidr in allow.to_networks]
    if targets:
        ways.append({"to": targets})
    deny = {**every, **rules([], [])}
    allowed = {**every, **rules([{"from": callers}] if callers else [], ways)}
    return [
        _of(spec, "networking.k8s.io/v1", "NetworkPolicy", "default-deny", spec=deny),
        _of(spec, "networking.k8s.io/v1", "NetworkPolicy", "tenant-allow", spec=allowed),
    ]


def _accounts(spec: Tenant) -> list[Manifest]:
    pull = {"imagePullSecrets": [{"name": name} for name in spec.image_pull_secrets]}
    names = [*spec.users, *([spec.pipeline] if spec.pipeline is not None else [])]
    found = [
        _of(
            spec, "v1", "ServiceAccount", name, automountServiceAccountToken=False,
            **(pull if spec.image_pull_secrets else {}),
        )
        for name in names
    ]  # fmt: skip
    subjects: list[Manifest] = [
        {"kind": "ServiceAccount", "name": name, "namespace": spec.name} for name in spec.users
    ]
    subjects += [{"kind": "Group", "apiGroup": _RBAC, "name": name} for name in spec.groups]
    if subjects:
        role = {"apiGroup": _RBAC, "kind": "Role", "name": "tenant-user"}
        found.append(_of(spec, f"{_RBAC}/v1", "Role", "tenant-user", rules=user_rules(spec)))
        found.append(_of(spec, f"{_RBAC}/v1", "RoleBinding", "tenant-user", roleRef=role, subjects=subjects))
    return found
