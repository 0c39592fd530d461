"""Whether a NetworkPolicy keeps the ingress controller from a Service's pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, place
from mlk8s.assess.selectors import matches
from mlk8s.assess.why.facts import Facts
from mlk8s.assess.why.reading import declared_in, is_over, labels_of


def blocked(item: Object, port: Object, facts: Facts) -> Cause | None:
    """Return the NetworkPolicies that keep the ingress controller from a Service's pods."""
    where = facts.ingress_namespace
    selector = item["spec"].get("selector")
    if where is None or not selector:
        return None
    pods = [p for p in facts.of("Pod") if matches({"matchLabels": selector}, labels_of(p)) and not is_over(p)]
    policies = [p for pod in pods[:1] for p in facts.of("NetworkPolicy") if _isolates(p, pod)]
    if not policies:
        return None
    around = labels_of(facts.one("Namespace", where) or {}) | {"kubernetes.io/metadata.name": where}
    target = _number(port, pods[0])
    callers = [p for p in facts.of(f"{where}/Pod") if not is_over(p)]
    for policy in policies:
        for rule in policy["spec"].get("ingress") or ():
            if _opens(rule, target, around, callers, same=where == facts.namespace):
                return None
    names = ", ".join(p["metadata"]["name"] for p in policies)
    return Cause(
        "network-policy",
        f"NetworkPolicy {names} admits nothing from the ingress controller's namespace {where} to the pods' "
        f"port {target}",
        place(item),
        f"add an ingress rule from namespaceSelector kubernetes.io/metadata.name={where} on port {target}",
        evidence=tuple(
            f"NetworkPolicy {p['metadata']['name']}: {p['spec'].get('ingress') or 'denies all'}"
            for p in policies
        ),
    )  # fmt: skip


def _isolates(policy: Object, pod: Object) -> bool:
    spec = policy["spec"]
    return "Ingress" in (spec.get("policyTypes") or ["Ingress"]) and matches(
        spec.get("podSelector") or {}, labels_of(pod)
    )


def _opens(rule: Object, port: Any, labels: dict[str, str], callers: Sequence[Object], *, same: bool) -> bool:
    ports = rule.get("ports") or []
    if ports and not any(
        entry.get("port") in (None, port) or entry.get("port", 0) <= port <= entry.get("endPort", -1)
        for entry in ports
        if isinstance(entry.get("port"), (int, type(None))) or entry.get("port") == port
    ):
        return False
    peers = rule.get("from") or []
    return not peers or any(_peer(peer, labels, callers, same) for peer in peers)


def _peer(peer: Object, labels: dict[str, str], callers: Sequence[Object], same: bool) -> bool:
    if "ipBlock" in peer:
        return True  # whether the controller's address is in it is not ours to say
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"] or {}, labels):
            return False
    elif not same:
        return False
    selector = peer.get("podSelector")
    return selector is None or not callers or any(matches(selector, labels_of(p)) for p in callers)


def _number(port: Object, pod: Object) -> Any:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    declared = [p for c in declared_in([pod]) for p in c.get("ports") or ()]
    return next((p["containerPort"] for p in declared if p.get("name") == target), target)
