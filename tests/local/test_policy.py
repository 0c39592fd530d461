"""NetworkPolicy to nftables: text that says what the policies say, and that the real nft accepts."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from mlk8s.assess.selectors import matches
from mlk8s.local.agent.policy import ruleset
from mlk8s.local.agent.selectors import Pod, addressed_pods, reduce_pod


def pod(namespace: str, address: str, ports: dict[tuple[str, str], int] | None = None, **labels: str) -> Pod:
    return Pod(namespace=namespace, address=address, labels=labels, named_ports=ports or {})


def policy(spec: dict[str, Any], name: str = "p", namespace: str = "one") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"podSelector": {}, **spec}}


PODS = [
    pod("one", "10.0.0.1", {("web", "TCP"): 8080}, app="server"),
    pod("one", "10.0.0.2", app="client"),
    pod("two", "10.0.0.3", {("web", "TCP"): 9090}, app="client"),
]
NAMESPACES = {"one": {"team": "x"}, "two": {"team": "y"}}
SERVER = {"podSelector": {"matchLabels": {"app": "server"}}}


def chain(text: str, name: str) -> list[str]:
    body = text.split(f"chain {name} {{\n")[1].split("  }\n")[0]
    return [line.strip() for line in body.splitlines()]


def allowed(spec: dict[str, Any], direction: str = "ingress") -> list[str]:
    text = ruleset([policy({**SERVER, **spec})], PODS, NAMESPACES)
    *lines, last = chain(text, f"{direction}-0")
    assert last == "drop"
    return lines


def test_nothing_is_isolated_without_a_policy() -> None:
    text = ruleset([], PODS, NAMESPACES)
    assert "drop" not in text
    assert "elements" not in text


def test_a_policy_isolates_in_the_directions_it_names() -> None:
    def isolated(spec: dict[str, Any]) -> tuple[bool, bool]:
        text = ruleset([policy({**SERVER, **spec})], PODS, NAMESPACES)
        return "10.0.0.1 : jump ingress-0" in text, "10.0.0.1 : jump egress-0" in text

    assert isolated({}) == (True, False)
    assert isolated({"egress": []}) == (True, True)
    assert isolated({"policyTypes": ["Egress"]}) == (False, True)
    assert isolated({"policyTypes": ["Ingress"], "egress": [{}]}) == (True, False)


def test_a_policy_is_for_its_own_namespace_only() -> None:
    text = ruleset([policy({}, namespace="two")], PODS, NAMESPACES)
    assert "10.0.0.3 : jump" in text
    assert "10.0.0.1 : jump" not in text


def test_peers() -> None:
    one = {"matchLabels": {"team": "x"}}
    client = {"matchLabels": {"app": "client"}}
    assert allowed({"ingress": [{}]}) == ["return"]
    assert allowed({"ingress": []}) == []
    assert allowed({"ingress": [{"from": []}]}) == ["return"], "an empty list is no restriction"
    assert allowed({"ingress": [{"from": [{"podSelector": client}]}]}) == ["ip saddr { 10.0.0.2 } return"]
    assert allowed({"ingress": [{"from": [{"namespaceSelector": {}}]}]}) == [
        "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } return"
    ]
    assert allowed({"ingress": [{"from": [{"namespaceSelector": one, "podSelector": client}]}]}) == [
        "ip saddr { 10.0.0.2 } return"
    ]
    assert allowed({"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "none"}}}]}]}) == []
    assert allowed({"egress": [{"to": [{"podSelector": client}]}], "policyTypes": ["Egress"]}, "egress") == [
        "ip daddr { 10.0.0.2 } return"
    ]


def test_blocks() -> None:
    def block(cidr: str, *holes: str) -> list[str]:
        return allowed({"ingress": [{"from": [{"ipBlock": {"cidr": cidr, "except": list(holes)}}]}]})

    assert block("10.1.0.0/16") == ["ip saddr 10.1.0.0/16 return"]
    assert block("0.0.0.0/0") == ["meta protocol ip return"]
    assert block("0.0.0.0/0", "10.0.0.0/8") == ["ip saddr != { 10.0.0.0/8 } return"]
    assert block("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24") == [
        "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } return"
    ]
    assert block("fd00::/8") == [], "the cluster has no IPv6"


def test_ports() -> None:
    def ports(*items: dict[str, Any]) -> list[str]:
        return allowed({"ingress": [{"ports": list(items)}]})

    assert ports({"port": 80}) == ["tcp dport 80 return"]
    assert ports({"port": 80, "endPort": 90, "protocol": "UDP"}) == ["udp dport 80-90 return"]
    assert ports({"protocol": "SCTP"}) == ["meta l4proto sctp return"]
    assert ports({"port": "web"}) == ["ip daddr . tcp dport { 10.0.0.1 . 8080 } return"]
    assert ports({"port": "web", "protocol": "UDP"}) == [], "the name is a TCP port's"


def test_a_named_port_is_the_receivers() -> None:
    lines = allowed(
        {
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": "web"}]}],
        },
        "egress",
    )
    assert lines == [
        "ip daddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } "
        "ip daddr . tcp dport { 10.0.0.1 . 8080, 10.0.0.3 . 9090 } return"
    ]


def test_policies_of_one_pod_add_up_in_one_chain() -> None:
    policies = [
        policy({**SERVER, "ingress": [{"ports": [{"port": 80}]}]}, "a"),
        policy({"ingress": [{"ports": [{"port": 81}]}]}, "b"),
    ]
    text = ruleset(policies, PODS, NAMESPACES)
    assert chain(text, "ingress-0") == ["tcp dport 80 return", "tcp dport 81 return", "drop"]
    assert chain(text, "ingress-1") == ["tcp dport 81 return", "drop"]


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
    ],
)
def test_selectors(selector: dict[str, Any], answer: bool) -> None:
    assert matches(selector, {"a": "1"}) is answer


def test_pods_without_an_address_of_their_own_are_left_out() -> None:
    def kept(spec: dict[str, Any], phase: str = "Running") -> bool:
        metadata = {"uid": "u", "namespace": "n"}
        return reduce_pod({"metadata": metadata, "spec": spec, "status": {"phase": phase}}) is not None

    assert kept({"containers": []})
    assert not kept({"containers": [], "hostNetwork": True})
    assert not kept({"containers": []}, "Succeeded"), "its address may be another pod's by now"


def test_an_address_belongs_to_the_pod_that_was_given_it_last() -> None:
    def fact(uid: str, address: str) -> dict[str, Any]:
        return {"uid": uid, "namespace": uid, "labels": {}, "ports": {}, "address": address}

    pods = {"old": fact("old", "10.0.0.5"), "new": fact("new", "")}
    assert [(found.namespace, found.address) for found in addressed_pods(pods, {"new": "10.0.0.5"})] == [
        ("new", "10.0.0.5")
    ]
    assert addressed_pods(pods, {"gone": "10.0.0.5"})[0].namespace == "old"


@pytest.mark.skipif(
    shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin") is None, reason="nft is not installed"
)
def test_nft_accepts_the_rules() -> None:
    rules = [
        {"from": [{"podSelector": {}}, {"namespaceSelector": {}}], "ports": [{"port": "web"}, {"port": 80}]},
        {"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "10.1.0.0/16"]}}]},
        {
            "from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
            "ports": [{"port": 1, "endPort": 9, "protocol": "SCTP"}],
        },
        {"ports": [{"protocol": "UDP"}]},
    ]
    egress = [{"to": rule.get("from", []), "ports": rule.get("ports", [])} for rule in rules]
    text = ruleset([policy({"ingress": rules, "egress": egress})], PODS, NAMESPACES)
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", "nft", "--check", "-f", "-"],
        input=text,
        text=True,
        capture_output=True,
    )
    if "unshare failed" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr + text
