"""Routes that overlap, ports in use, and rules that the real nft accepts."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from mlk8s.errors import LocalClusterError
from mlk8s.local import network
from mlk8s.local.registry import Cluster

CLUSTER = Cluster(name="test", index=2, port=8080)


@pytest.mark.parametrize(
    ("route", "overlaps"),
    [
        ({"dst": "default", "dev": "eth0"}, False),
        ({"dst": "192.168.1.0/24", "dev": "eth0"}, False),
        ({"dst": "10.0.0.0/8", "dev": "vpn0"}, False),  # ours is carved out of it
        ({"dst": "10.200.0.0/16", "dev": "vpn0"}, True),
        ({"dst": "10.201.9.7", "dev": "vpn0"}, True),
        ({"dst": "10.202.8.0/22", "type": "unreachable"}, True),
        ({"dst": "10.202.12.0/22", "dev": "x"}, False),  # the next cluster's
        ({"dst": "fd00::/8", "dev": "eth0"}, False),
    ],
)
def test_routes_that_overlap_are_named(route: dict[str, str], overlaps: bool) -> None:
    reason = network.overlapping_route(CLUSTER.networks, [route])
    assert (reason is not None) == overlaps
    if reason:
        assert route["dst"] in reason


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalClusterError, match=str(port)):
            network.check_ports([port])
    network.check_ports([port])


def test_port_numbers_have_an_end() -> None:
    with pytest.raises(LocalClusterError, match="65536 is not a port"):
        network.check_ports([65536])


def test_rules_differ_by_egress_only_where_they_must() -> None:
    closed = network.machine_ruleset(CLUSTER)
    egress = network.machine_ruleset(Cluster(name="test", index=2, port=8080, egress=True))
    assert "masquerade" not in closed
    assert "masquerade" in egress
    for text in (closed, egress):
        chain = text.split("chain input")[1].split("}")[0]
        assert f'iifname "{CLUSTER.link}" drop' in chain, "pods never open anything on the machine"
    assert "dnat to 10.200.2.2:30080" in closed
    assert "tcp dport 8081 dnat to 10.200.2.2:30333" in closed
    assert "tcp dport 8082 dnat to 10.200.2.2:30443" in closed


@pytest.mark.skipif(
    shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin") is None, reason="nft is not installed"
)
@pytest.mark.parametrize("egress", [False, True])
def test_nft_accepts_the_rules(egress: bool) -> None:
    cluster = Cluster(name="0-test", index=2, egress=egress)
    for text in (network.machine_ruleset(cluster), network.node_ruleset(cluster)):
        # in a network namespace of its own: the check needs the right to change rules
        done = subprocess.run(
            ["unshare", "--map-root-user", "--net", "nft", "--check", "-f", "-"],
            input=text,
            text=True,
            capture_output=True,
        )
        if "unshare failed" in done.stderr:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr + text
