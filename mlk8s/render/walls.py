"""What keeps a tenant's users from opening its network: a ValidatingAdmissionPolicy (Kubernetes 1.30).

Users write a NetworkPolicy with each service, and policies add up: one that allows everything, or the end of
the tenant's own, would undo the deny-all. RBAC cannot tell one policy from another; an admission policy can.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from mlk8s.render.common import Manifest, manifest
from mlk8s.render.network import NAMESPACE_NAME
from mlk8s.spec.tenant import Tenant

_API = "admissionregistration.k8s.io/v1"
_EXTERNAL = ("services.loadbalancers", "services.nodeports")


def walls(spec: Tenant, policies: list[Manifest]) -> list[Manifest]:
    """Return the admission policy of a tenant and its binding.

    Args:
        policies: the tenant's own NetworkPolicies: users' may lead where these lead, and nowhere else.
    """
    rules = [(part, rule) for policy in policies for part in ("from", "to") for rule in _rules(policy, part)]
    outside = any(spec.quota.get(name) != "0" for name in _EXTERNAL)
    checks = [
        (
            f"request.operation == 'CREATE' || !(oldObject.metadata.name in {_names(policies)})",
            "this NetworkPolicy is the tenant's own, and not its users' to change",
        )
    ]
    for part, field in (("to", "egress"), ("from", "ingress")):
        peers = [peer for key, rule in rules if key == part for peer in rule.get(part, [])]
        words = "lead" if part == "to" else "let in"
        checks.append(
            (
                _leads_only(field, part, peers, everywhere=part == "from" and outside),
                f"a user's NetworkPolicy may {words} nothing that the tenant's own does not",
            )
        )
    users = json.dumps([f"system:serviceaccounts:{spec.name}", *spec.groups])
    match = {
        "apiGroups": ["networking.k8s.io"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["networkpolicies"],
    }
    body = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [match]},
        "matchConditions": [
            {"name": "users", "expression": f"request.userInfo.groups.exists(one, one in {users})"}
        ],
        "validations": [{"expression": check, "message": message} for check, message in checks],
    }
    name = f"tenant-{spec.name}"
    here = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: spec.name}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
    return [
        manifest(_API, "ValidatingAdmissionPolicy", name, None, {}, spec=body),
        manifest(_API, "ValidatingAdmissionPolicyBinding", name, None, {}, spec=binding),
    ]


def _rules(policy: Manifest, part: str) -> list[Manifest]:
    return list(policy["spec"].get("egress" if part == "to" else "ingress", []))


def _names(policies: list[Manifest]) -> str:
    return json.dumps([item["metadata"]["name"] for item in policies])


def _leads_only(field: str, part: str, peers: Iterable[Manifest], *, everywhere: bool) -> str:
    """Return the CEL expression that is true where every rule has only these peers, or pods of the namespace.

    Args:
        everywhere: any network may be named, because NodePorts or load balancers are allowed.
    """
    peers = list(peers)
    names = [
        peer["namespaceSelector"]["matchLabels"][NAMESPACE_NAME]
        for peer in peers
        if "namespaceSelector" in peer
    ]
    networks = json.dumps(sorted(peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer))
    block = "true" if everywhere else f"!has(peer.ipBlock) || peer.ipBlock.cidr in {networks}"
    labels = "peer.namespaceSelector.matchLabels"
    known = f"'{NAMESPACE_NAME}' in {labels} && {labels}['{NAMESPACE_NAME}'] in {names}"
    inside = f"!has(peer.namespaceSelector) || (has({labels}) && {known})"
    every = f"has(rule.{part}) && rule.{part}.size() > 0 && rule.{part}.all(peer, ({block}) && ({inside}))"
    return (
        f"request.operation == 'DELETE' || !has(object.spec.{field}) || "
        f"object.spec.{field}.all(rule, {every})"
    )
