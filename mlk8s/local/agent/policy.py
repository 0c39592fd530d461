"""NetworkPolicies to nftables text; pure.

Each pod that a policy isolates in a direction has its address in that direction's verdict map, which leads to
a chain with the allowed matches of all policies that select it, and a drop at the end. Pods with the same
policies share a chain. Every allowed match returns to the base chain: a packet must pass the sender's egress
and the receiver's ingress. Sources: https://kubernetes.io/docs/concepts/services-networking/network-policies/
and the API reference of networking.k8s.io/v1 NetworkPolicy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlk8s.assess.selectors import matches
from mlk8s.local.agent.selectors import Object, Pod

TABLE = "mlk8s-policy"


@dataclass(frozen=True)
class _Direction:
    """One of the two directions: names of its fields, and which address of the packet is the peer's."""

    type: str  # in policyTypes
    rules: str  # field of the spec
    peers: str  # field of a rule
    peer: str  # address expression
    own: str


INGRESS = _Direction("Ingress", "ingress", "from", "ip saddr", "ip daddr")
EGRESS = _Direction("Egress", "egress", "to", "ip daddr", "ip saddr")


def ruleset(
    policies: Iterable[Object], pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]]
) -> str:
    """The whole table, as `nft -f` reads and replaces it in one transaction.

    Args:
        policies: NetworkPolicy objects; `metadata` and `spec` are read.
        pods: every pod with an address of its own.
        namespaces: name → labels.
    """
    ordered = sorted(policies, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]))
    chains: list[str] = []
    maps: list[str] = []
    isolated: set[str] = set()
    for direction in (EGRESS, INGRESS):
        elements = []
        for number, (selecting, members) in enumerate(_groups(direction, ordered, pods).items()):
            chain = f"{direction.rules}-{number}"
            lines: dict[str, None] = {}
            for index in selecting:
                policy = ordered[index]
                for rule in policy["spec"].get(direction.rules) or ():
                    scope = policy["metadata"]["namespace"]
                    lines.update(dict.fromkeys(_allowed(direction, rule, scope, members, pods, namespaces)))
            body = "".join(f"    {line} return\n" for line in lines)
            chains.append(f"  chain {chain} {{\n{body}    drop\n  }}\n")
            elements += [f"{pod.address} : jump {chain}" for pod in members]
            isolated.update(pod.address for pod in members)
        maps.append(_set("map", direction.rules, "ipv4_addr : verdict", elements))
    own = [f"{address} . {address}" for address in sorted(isolated)]
    return (
        f"table ip {TABLE} {{}}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n"
        + "".join(chains)
        + "".join(maps)
        + _set("set", "self", "ipv4_addr . ipv4_addr", own)
        + "  chain forward {\n    type filter hook forward priority 0; policy accept;\n"
        "    ct state established,related accept\n"
        "    ip saddr . ip daddr @self accept\n"
        "    ip saddr vmap @egress\n    ip daddr vmap @ingress\n  }\n}\n"
    )


def _set(kind: str, name: str, type_: str, elements: Sequence[str]) -> str:
    content = f"\n    elements = {{ {', '.join(elements)} }}" if elements else ""
    return f"  {kind} {name} {{\n    type {type_};{content}\n  }}\n"


def _applies(direction: _Direction, spec: Object) -> bool:
    types = spec.get("policyTypes")
    if types:
        return direction.type in types
    return direction is INGRESS or "egress" in spec


def _groups(
    direction: _Direction, policies: Sequence[Object], pods: Sequence[Pod]
) -> dict[tuple[int, ...], list[Pod]]:
    """Isolated pods by the policies (their indices) that select them."""
    groups: dict[tuple[int, ...], list[Pod]] = {}
    for pod in pods:
        selecting = tuple(
            index
            for index, policy in enumerate(policies)
            if policy["metadata"]["namespace"] == pod.namespace
            and _applies(direction, policy["spec"])
            and matches(policy["spec"].get("podSelector") or {}, pod.labels)
        )
        if selecting:
            groups.setdefault(selecting, []).append(pod)
    return groups


def _allowed(
    direction: _Direction,
    rule: Object,
    scope: str,
    members: Sequence[Pod],
    pods: Sequence[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterable[str]:
    """Match expressions of one rule: each peer with each port; no peers and no ports mean any."""
    for peer in rule.get(direction.peers) or (None,):
        if peer is None:
            source, candidates = "", list(pods)
        elif "ipBlock" in peer:
            source, candidates = _block(direction, peer["ipBlock"]), []
        else:
            candidates = [pod for pod in pods if _is_peer(peer, pod, scope, namespaces)]
            if not candidates:
                continue
            addresses = ", ".join(pod.address for pod in candidates)
            source = f"{direction.peer} {{ {addresses} }} "
        if not source and peer is not None:
            continue
        receivers = members if direction is INGRESS else candidates
        for port in rule.get("ports") or (None,):
            match = "" if port is None else _port(port, receivers)
            if match is not None:
                yield (source + match).strip()


def _block(direction: _Direction, block: Object) -> str:
    cidr = block["cidr"]
    if ":" in cidr:
        return ""  # the cluster speaks IPv4 only
    # 0.0.0.0/0 is no prefix to nft's sets, but a rule that matches every packet
    source = "" if cidr == "0.0.0.0/0" else f"{direction.peer} {cidr} "
    excluded = [item for item in block.get("except") or () if ":" not in item]
    if excluded:
        source += f"{direction.peer} != {{ {', '.join(_apart(excluded))} }} "
    return source or "meta protocol ip "


def _apart(cidrs: Sequence[str]) -> list[str]:
    """The same ranges without overlap: an nft set refuses overlapping intervals."""
    import ipaddress

    return [str(network) for network in ipaddress.collapse_addresses(ipaddress.IPv4Network(c) for c in cidrs)]


def _is_peer(peer: Object, pod: Pod, scope: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    selector = peer.get("namespaceSelector")
    if selector is None:
        if pod.namespace != scope:
            return False
    elif not matches(selector, namespaces.get(pod.namespace, {})):
        return False
    return matches(peer.get("podSelector") or {}, pod.labels)


def _port(port: Object, receivers: Sequence[Pod]) -> str | None:
    """One port's match; None when it is a name that no receiver has."""
    protocol = str(port.get("protocol") or "TCP")
    lower = protocol.lower()
    number: Any = port.get("port")
    if number is None:
        return f"meta l4proto {lower}"
    if isinstance(number, int):
        last = port.get("endPort")
        return f"{lower} dport {number}-{last}" if last and last != number else f"{lower} dport {number}"
    pairs = [
        f"{pod.address} . {pod.named_ports[number, protocol]}"
        for pod in receivers
        if (number, protocol) in pod.named_ports
    ]
    return f"ip daddr . {lower} dport {{ {', '.join(pairs)} }}" if pairs else None
