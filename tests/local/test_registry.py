"""Names, ranges and ports of local clusters: none ever meets another."""

from __future__ import annotations

import ipaddress
import itertools
import multiprocessing
from pathlib import Path

import pytest

from mlk8s.errors import LocalClusterError, UsageError
from mlk8s.local import registry
from mlk8s.local.registry import BASES, INDICES, Cluster


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLK8S_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def free(_: Cluster) -> None:
    return None


def test_no_two_clusters_share_an_address_or_a_link() -> None:
    every = [Cluster(name="x", base=base, index=index) for base in BASES for index in range(INDICES)]
    networks = sorted(itertools.chain.from_iterable(cluster.networks for cluster in every))
    assert all(not a.overlaps(b) for a, b in itertools.pairwise(networks))
    assert all(network.is_private for network in networks)
    links = {cluster.link for cluster in every}
    assert len(links) == len(every)
    assert max(map(len, links)) <= 15, "the kernel's limit for a link's name"


def test_addresses_lie_in_their_networks() -> None:
    cluster = Cluster(name="x", index=63)
    assert ipaddress.IPv4Address(cluster.node_address) in cluster.node_network
    assert ipaddress.IPv4Address(cluster.dns_address) in cluster.service_network
    assert ipaddress.IPv4Network(cluster.node_pods).subnet_of(cluster.pod_network)
    assert cluster.dns_address.endswith(".10")


def test_a_cluster_keeps_its_index_and_a_removed_one_gives_it_back(root: Path) -> None:
    first = registry.reserve(Cluster(name="a", port=1000), free)
    second = registry.reserve(Cluster(name="b", port=2000), free)
    assert (first.index, second.index) == (0, 1)
    again = registry.reserve(Cluster(name="b", port=3000), free)
    assert (again.index, again.port) == (1, 3000)
    registry.release("a")
    assert registry.reserve(Cluster(name="c", port=4000), free).index == 0
    for name in ("b", "c"):
        registry.release(name)
    assert list(root.iterdir()) == []


def test_ports_of_another_cluster_are_refused_with_its_name() -> None:
    registry.reserve(Cluster(name="a", port=8080), free)
    for port in (8078, 8080, 8082):
        with pytest.raises(LocalClusterError, match="belongs to the local cluster 'a'"):
            registry.reserve(Cluster(name="b", port=port), free)
    assert registry.find("b") is None


def test_occupied_networks_are_passed_over() -> None:
    chosen = registry.reserve(
        Cluster(name="a"), lambda c: "the route 10.200.0.0/16" if c.base == BASES[0] else None
    )
    assert (chosen.base, chosen.index) == (BASES[1], 0)
    with pytest.raises(LocalClusterError, match="route of everything"):
        registry.reserve(Cluster(name="b", port=1), lambda _: "the route of everything")


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a" * 41, "a.b", "../a", "a\n"])
def test_names_that_are_no_part_of_a_node_name_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        registry.check_name(name)


@pytest.mark.parametrize("name", ["a", "0", "mlk8s", "a" * 40, "a-b"])
def test_other_names_are_taken(name: str) -> None:
    registry.check_name(name)


def test_a_damaged_registry_is_an_error_that_names_the_file(root: Path) -> None:
    root.mkdir()
    (root / "clusters.json").write_text("{")
    with pytest.raises(LocalClusterError, match=r"clusters\.json"):
        registry.clusters()


def _reserve(name: str, port: int) -> int:
    with registry.cluster_lock(name) as lock:
        index = registry.reserve(Cluster(name=name, port=port), free).index
        lock.unlink()
        return index


def test_reservations_of_many_processes_are_all_kept() -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        indices = pool.starmap(_reserve, [(f"c{number}", 1000 + 3 * number) for number in range(9)])
    assert sorted(indices) == list(range(9))
    assert len(registry.clusters()) == 9
