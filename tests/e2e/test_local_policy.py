"""NetworkPolicy on the real node: the allowed passes, the rest is dropped, from a pod's first packet on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import fresh_namespace
from e2e_tools import connects, wait_for
from pods import ask, create_pod, pod

from mlk8s.local.handle import Local

POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
WEB, SECOND, HIGH, ECHO = 8080, 8081, 9000, 5353


class Scene:
    """One server and three clients: a and b beside it, c in another namespace."""

    def __init__(self, local: Local, here: str, there: str) -> None:
        self.local, self.here, self.there = local, here, there
        self.server = create_pod(local, here, pod("server", labels={"role": "server"}))
        self.clients = {
            "a": create_pod(local, here, pod("a", labels={"role": "a", "tier": "web"})),
            "b": create_pod(local, here, pod("b", labels={"role": "b"})),
            "c": create_pod(local, there, pod("c", labels={"role": "a"})),
        }

    def reaches(self, client: str, port: int, host: str | None = None) -> bool:
        kind = "udp" if port == ECHO else "tcp"
        return ask(self.clients[client], f"/{kind}?to={host or self.server}:{port}") == "open"

    def open_ports(self, clients: str = "abc") -> dict[str, set[int]]:
        """Ports of the server that each client reaches, all tried at the same time."""
        pairs = [(client, port) for client in clients for port in (WEB, SECOND, HIGH, ECHO)]
        with ThreadPoolExecutor(len(pairs)) as pool:
            reached = list(pool.map(lambda pair: self.reaches(*pair), pairs))
        open_pairs = [pair for pair, is_open in zip(pairs, reached, strict=True) if is_open]
        return {client: {port for one, port in open_pairs if one == client} for client in clients}

    def settles(self, expected: dict[str, set[int]]) -> None:
        """Wait until the clients reach these ports and no others."""
        end = time.monotonic() + 30
        while (found := self.open_ports("".join(expected))) != expected:
            assert time.monotonic() < end, found


@pytest.fixture(scope="module")
def scene(local_cluster: Local, namespace: str, python_pods: str) -> Iterator[Scene]:
    there = fresh_namespace(local_cluster, "policy-there")
    other = next(there)
    local_cluster.api().merge(f"/api/v1/namespaces/{other}", {"metadata": {"labels": {"team": "x"}}})
    yield Scene(local_cluster, namespace, other)
    next(there, None)


@pytest.fixture
def policy(scene: Scene) -> Iterator[Any]:
    """Create policies in the server's namespace, and remove them after the test."""
    api, names = scene.local.api(), []

    def create(spec: dict[str, Any]) -> None:
        name = f"p{len(names)}"
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
        api.request("POST", POLICIES.format(scene.here), {**body, "spec": spec})
        names.append(name)
        time.sleep(0.5)  # the time a policy may take to be in force where the machine is not busy

    yield create
    for name in names:
        api.delete(f"{POLICIES.format(scene.here)}/{name}")
    if names:
        scene.settles({"a": ALL, "b": ALL, "c": ALL})


SERVER = {"podSelector": {"matchLabels": {"role": "server"}}, "policyTypes": ["Ingress"]}
ALL = {WEB, SECOND, HIGH, ECHO}


def test_without_a_policy_everything_is_open(scene: Scene) -> None:
    scene.settles({"a": ALL, "b": ALL, "c": ALL})


# `{a}` stands for the address of pod a
INGRESS: dict[str, tuple[dict[str, Any], dict[str, set[int]]]] = {
    "deny": ({}, {}),
    "everyone": ({"ingress": [{}]}, {"a": ALL, "b": ALL, "c": ALL}),
    "pods of this namespace": ({"ingress": [{"from": [{"podSelector": {}}]}]}, {"a": ALL, "b": ALL}),
    "one label": ({"ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "a"}}}]}]}, {"a": ALL}),
    "expression": (
        {
            "ingress": [
                {
                    "from": [
                        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}
                    ]
                }
            ]
        },
        {"b": ALL},
    ),
    "namespace": (
        {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]}]},
        {"c": ALL},
    ),
    "pod in a namespace": (
        {
            "ingress": [
                {
                    "from": [
                        {
                            "namespaceSelector": {"matchLabels": {"team": "x"}},
                            "podSelector": {"matchLabels": {"role": "b"}},
                        }
                    ]
                }
            ]
        },
        {},
    ),
    "pod or namespace": (
        {
            "ingress": [
                {
                    "from": [
                        {"namespaceSelector": {"matchLabels": {"team": "x"}}},
                        {"podSelector": {"matchLabels": {"role": "b"}}},
                    ]
                }
            ]
        },
        {"b": ALL, "c": ALL},
    ),
    "block": ({"ingress": [{"from": [{"ipBlock": {"cidr": "{a}/32"}}]}]}, {"a": ALL}),
    "block with a hole": (
        {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["{a}/32"]}}]}]},
        {"b": ALL, "c": ALL},
    ),
    "port number": (
        {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": WEB}]}]},
        {"a": {WEB}, "b": {WEB}},
    ),
    "port name": ({"ingress": [{"ports": [{"port": "web"}]}]}, {"a": {WEB}, "b": {WEB}, "c": {WEB}}),
    "port range": (
        {"ingress": [{"ports": [{"port": WEB, "endPort": SECOND}]}]},
        {"a": {WEB, SECOND}, "b": {WEB, SECOND}, "c": {WEB, SECOND}},
    ),
    "udp": (
        {"ingress": [{"ports": [{"port": "echo", "protocol": "UDP"}]}]},
        {"a": {ECHO}, "b": {ECHO}, "c": {ECHO}},
    ),
    "every port of a protocol": (
        {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"protocol": "UDP"}]}]},
        {"a": {ECHO}, "b": {ECHO}},
    ),
}


@pytest.mark.parametrize("case", INGRESS)
def test_ingress(scene: Scene, policy: Any, case: str) -> None:
    rules, expected = INGRESS[case]
    text = repr({**SERVER, **rules}).replace("{a}", scene.clients["a"])
    policy(eval(text))
    scene.settles({"a": set(), "b": set(), "c": set(), **expected})


def test_policies_add_up(scene: Scene, policy: Any) -> None:
    policy({**SERVER, "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "a"}}}]}]})
    policy({**SERVER, "ingress": [{"ports": [{"port": HIGH}]}]})
    scene.settles({"a": ALL, "b": {HIGH}})


EGRESS: dict[str, tuple[dict[str, Any], set[int]]] = {
    "deny": ({}, set()),
    "to the server": ({"egress": [{"to": [{"podSelector": {"matchLabels": {"role": "server"}}}]}]}, ALL),
    "to somebody else": ({"egress": [{"to": [{"podSelector": {"matchLabels": {"role": "b"}}}]}]}, set()),
    "to a namespace": ({"egress": [{"to": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]}]}, set()),
    "to a named port": (
        {"egress": [{"to": [{"podSelector": {}}], "ports": [{"port": "web"}]}]},
        {WEB},
    ),
    "to a block": ({"egress": [{"to": [{"ipBlock": {"cidr": "{server}/32"}}]}]}, ALL),
    "to all but a block": (
        {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["{server}/32"]}}]}]},
        set(),
    ),
    "to a range of ports": ({"egress": [{"ports": [{"port": SECOND, "endPort": HIGH}]}]}, {SECOND, HIGH}),
}


@pytest.mark.parametrize("case", EGRESS)
def test_egress(scene: Scene, policy: Any, case: str) -> None:
    rules, expected = EGRESS[case]
    spec = {"podSelector": {"matchLabels": {"role": "a"}}, "policyTypes": ["Egress"], **rules}
    policy(eval(repr(spec).replace("{server}", scene.server)))
    scene.settles({"a": expected, "b": ALL})  # a pod that no policy selects stays open


def test_a_service_is_filtered_by_the_pods_behind_it(scene: Scene, policy: Any) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"role": "server"}, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    path = f"/api/v1/namespaces/{scene.here}/services"
    address = scene.local.api().request("POST", path, service)["spec"]["clusterIP"]
    policy({**SERVER, "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "a"}}}]}]})
    wait_for(lambda: scene.reaches("a", 80, address))
    wait_for(lambda: not scene.reaches("b", WEB))  # the policy is in force
    assert not scene.reaches("b", 80, address)


def test_the_machine_is_outside(scene: Scene, policy: Any) -> None:
    policy({**SERVER, "ingress": [{"from": [{"podSelector": {}}]}]})
    wait_for(lambda: not connects(scene.server, WEB))
    machine = scene.local.cluster.machine_address
    policy({**SERVER, "ingress": [{"from": [{"ipBlock": {"cidr": f"{machine}/32"}}]}]})
    wait_for(lambda: connects(scene.server, WEB))


def test_a_new_pod_is_closed_from_its_first_packet(scene: Scene, policy: Any) -> None:
    policy({"podSelector": {"matchLabels": {"shut": "yes"}}, "policyTypes": ["Egress"]})
    first = [{"name": "FIRST", "value": f"{scene.server}:{WEB}"}]
    known = create_pod(scene.local, scene.here, pod("shut", labels={"shut": "yes"}))
    wait_for(lambda: ask(known, f"/tcp?to={scene.server}:{WEB}") != "open")  # the policy is in force
    for number in range(3):
        shut = create_pod(scene.local, scene.here, pod(f"shut-{number}", labels={"shut": "yes"}, env=first))
        assert ask(shut, "/first") != "open"


def test_a_new_pod_is_known_to_its_peers_policies_from_its_first_packet(scene: Scene, policy: Any) -> None:
    policy({**SERVER, "ingress": [{"from": [{"podSelector": {"matchLabels": {"guest": "yes"}}}]}]})
    wait_for(lambda: not scene.reaches("a", WEB))  # the policy is in force
    first = [{"name": "FIRST", "value": f"{scene.server}:{WEB}"}]
    for number in range(3):
        guest = create_pod(
            scene.local, scene.here, pod(f"guest-{number}", labels={"guest": "yes"}, env=first)
        )
        assert ask(guest, "/first") == "open"
