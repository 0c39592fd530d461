"""Which local clusters this machine has: names, ranges and ports, in one file under a lock.

A cluster has an index from 0 to 63 in a base of three neighbouring /16 networks; all its addresses follow
from them, so two clusters never meet. `reserve` hands an index out and `release` takes it back; both hold the
file's lock, and `cluster_lock` is what makes two `up` of one cluster take turns.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mlk8s.errors import LocalClusterError, UsageError

# First /16 of three: node networks, pods, services. The second and third are for machines whose own networks
# already lie in the first.
BASES = ("10.200", "10.140", "172.28")
INDICES = 64
# The longest name whose node name, image store and nftables table stay within Kubernetes' and the kernel's
# limits.
NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


def state_root() -> Path:
    """Where clusters keep their state: $MLK8S_STATE, else /var/lib/mlk8s."""
    return Path(os.environ.get("MLK8S_STATE") or "/var/lib/mlk8s").absolute()


def check_name(name: str) -> None:
    """Refuse a cluster name that cannot be part of a node's name.

    Raises:
        UsageError: not a DNS label of at most 40 characters.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be the name of a cluster",
            expected="1 to 40 lower-case letters, digits and '-', at both ends a letter or digit",
        )


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster's entry: what it was made with, and every address that follows from it."""

    name: str
    base: str = BASES[0]
    index: int = 0
    port: int = 8080
    egress: bool = False
    gpus: int = 2

    def _network(self, step: int, third: int, fourth: int, prefix: int) -> ipaddress.IPv4Network:
        first, second = self.base.split(".")
        return ipaddress.IPv4Network(f"{first}.{int(second) + step}.{third}.{fourth}/{prefix}")

    @property
    def node_network(self) -> ipaddress.IPv4Network:
        """The veth between the machine and the node; two usable addresses."""
        return self._network(0, self.index, 0, 30)

    @property
    def pod_network(self) -> ipaddress.IPv4Network:
        """1024 addresses for pods; the node hands out the first 256."""
        return self._network(1, 4 * self.index, 0, 22)

    @property
    def service_network(self) -> ipaddress.IPv4Network:
        """1024 addresses for Services."""
        return self._network(2, 4 * self.index, 0, 22)

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network, ...]:
        return (self.node_network, self.pod_network, self.service_network)

    @property
    def machine_address(self) -> str:
        return str(self.node_network[1])

    @property
    def node_address(self) -> str:
        return str(self.node_network[2])

    @property
    def node_pods(self) -> str:
        """The part of the pod network that the one node uses, a /24."""
        return f"{self.pod_network.network_address}/24"

    @property
    def balancer_network(self) -> ipaddress.IPv4Network:
        """The last quarter of the pod network: the addresses of LoadBalancer Services, routed to the node."""
        return self._network(1, 4 * self.index + 3, 0, 24)

    @property
    def kubernetes_address(self) -> str:
        return str(self.service_network[1])

    @property
    def dns_address(self) -> str:
        return str(self.service_network[10])

    @property
    def api_url(self) -> str:
        return f"https://{self.node_address}:6443"

    @property
    def node_name(self) -> str:
        return f"{self.name}-node"

    @property
    def link(self) -> str:
        """The machine's end of the veth; the kernel allows 15 characters, so the index names it."""
        first, second = self.base.split(".")
        return f"mlk8s-{int(first):x}{int(second):x}-{self.index}"

    @property
    def table(self) -> str:
        """The machine's nftables table (family ip) of this cluster."""
        return f"mlk8s-{self.name}"

    @property
    def cgroup(self) -> str:
        return f"mlk8s-{self.name}"

    @property
    def ports(self) -> tuple[int, int, int]:
        """Ports of 127.0.0.1: Ingress, S3, and the Ingress with TLS."""
        return (self.port, self.port + 1, self.port + 2)

    @property
    def directory(self) -> Path:
        return state_root() / self.name


def _registry_file() -> Path:
    return state_root() / "clusters.json"


@contextmanager
def _locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file that another process may remove while we wait for it."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if waiting is not None and not told:
                waiting()
                told = True
            time.sleep(0.1)
            continue
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                break
        os.close(descriptor)  # the holder removed the file: lock the new one
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def cluster_lock(name: str, waiting: Callable[[], None] | None = None) -> Iterator[Path]:
    """Hold the lock of one cluster's name; `waiting` is called once when another process holds it.

    Yields:
        The lock file, for `down` to remove at its end.
    """
    path = state_root() / f"{name}.lock"
    with _locked(path, waiting):
        yield path


def _read() -> dict[str, Cluster]:
    try:
        entries = json.loads(_registry_file().read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LocalClusterError(
            "the list of local clusters cannot be read",
            where=str(_registry_file()),
            expected="JSON as written by 'mlk8s up'",
            next_step="restore the file, or remove it after 'mlk8s down' of each cluster",
        ) from error
    return {name: Cluster(**entry) for name, entry in entries.items()}


def _write(clusters: dict[str, Cluster]) -> None:
    path = _registry_file()
    text = json.dumps({name: asdict(cluster) for name, cluster in sorted(clusters.items())}, indent=1)
    temporary = path.with_suffix(".new")
    temporary.write_text(text + "\n")
    temporary.replace(path)


def clusters() -> dict[str, Cluster]:
    """Every cluster of this machine by name."""
    return _read()


def find(name: str) -> Cluster | None:
    """The entry of one cluster, None where there is none."""
    return _read().get(name)


def reserve(wanted: Cluster, occupied: Callable[[Cluster], str | None]) -> Cluster:
    """Give a cluster an index and write it down; the one it already has, if it has one.

    Args:
        wanted: name, port, egress and gpus as asked for; base and index are ignored for a new cluster.
        occupied: says what on this machine already uses a candidate's networks, None if nothing does.

    Raises:
        LocalClusterError: a port belongs to another cluster, or no base has a free index.
    """
    with _locked(state_root() / "clusters.lock"):
        known = _read()
        for other in known.values():
            shared = set(other.ports) & set(wanted.ports)
            if other.name != wanted.name and shared:
                raise LocalClusterError(
                    f"port {min(shared)} of 127.0.0.1 belongs to the local cluster '{other.name}'",
                    expected=f"three free ports, for the Ingress, S3 and HTTPS; '{other.name}' has "
                    f"{other.ports[0]} to {other.ports[-1]}",
                    next_step=f"choose another --port, or remove that one: mlk8s down --name {other.name}",
                )
        mine = known.get(wanted.name)
        if mine is not None:
            chosen = Cluster(**{**asdict(wanted), "base": mine.base, "index": mine.index})
        else:
            chosen = _free(wanted, known, occupied)
        known[chosen.name] = chosen
        _write(known)
        return chosen


def _free(wanted: Cluster, known: dict[str, Cluster], occupied: Callable[[Cluster], str | None]) -> Cluster:
    taken = {(cluster.base, cluster.index) for cluster in known.values()}
    reasons: list[str] = []
    for base in BASES:
        for index in range(INDICES):
            if (base, index) in taken:
                continue
            candidate = Cluster(**{**asdict(wanted), "base": base, "index": index})
            reason = occupied(candidate)
            if reason is None:
                return candidate
            reasons.append(reason)
    raise LocalClusterError(
        "no network range is free for a local cluster",
        where=reasons[0] if reasons else f"{len(taken)} clusters in {_registry_file()}",
        expected=f"one of {', '.join(base + '.0.0/16' for base in BASES)}, and the two after it, free",
        next_step="remove a cluster (mlk8s down --name NAME) or the route",
    )


def release(name: str) -> None:
    """Forget a cluster; the registry and its lock go with the last one."""
    with _locked(state_root() / "clusters.lock"):
        known = _read()
        known.pop(name, None)
        if known:
            _write(known)
            return
        _registry_file().unlink(missing_ok=True)
        (state_root() / "clusters.lock").unlink(missing_ok=True)
