"""Nodes, their GPUs and the clocks, as `doctor` sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlk8s.assess.doctor_facts import GpuFacts, NodeFacts, Unknown
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_SIMULATED = "mlk8s.dev/simulated-gpu"


def node_facts(cluster: Cluster) -> tuple[NodeFacts, ...]:
    """Return every node's condition, and how old its last sign of life is by our clock."""
    try:
        leases = {item["metadata"]["name"]: item for item in cluster.list("Lease", "kube-node-lease")}
    except ClusterError:
        leases = {}
    now = datetime.now(UTC)
    return tuple(_node(item, leases.get(item["metadata"]["name"]), now) for item in cluster.list("Node"))


def _node(item: dict[str, Any], lease: dict[str, Any] | None, now: datetime) -> NodeFacts:
    conditions = {one["type"]: one for one in item.get("status", {}).get("conditions") or []}
    ready = conditions.get("Ready", {})
    renewed = (lease or {}).get("spec", {}).get("renewTime")
    return NodeFacts(
        name=item["metadata"]["name"],
        ready=ready.get("status") == "True",
        reason=str(ready.get("message", "it has reported nothing")),
        pressures=tuple(name for name in _PRESSURES if conditions.get(name, {}).get("status") == "True"),
        cordoned=bool(item["spec"].get("unschedulable")),
        clock_lag=(now - datetime.fromisoformat(renewed)).total_seconds() if renewed else None,
    )


def gpu_facts(cluster: Cluster) -> tuple[GpuFacts, ...]:
    """Return the extended resources of the nodes whose name says GPU, and how many are in use."""
    allocatable: dict[str, int] = {}
    simulated: set[str] = set()
    for node in cluster.list("Node"):
        for name, amount in (node.get("status", {}).get("allocatable") or {}).items():
            if "/" in name and "gpu" in name.lower() and int(amount):
                allocatable[name] = allocatable.get(name, 0) + int(amount)
                if (node["metadata"].get("labels") or {}).get(_SIMULATED) == "true":
                    simulated.add(name)
    if not allocatable:
        return ()
    try:
        pods = cluster.list("Pod", all_namespaces=True, fields="status.phase!=Succeeded,status.phase!=Failed")
    except ClusterError:
        return tuple(GpuFacts(name, total, None, name in simulated) for name, total in allocatable.items())
    return tuple(
        GpuFacts(name, total, sum(_requested(pod, name) for pod in pods), name in simulated)
        for name, total in allocatable.items()
    )


def _requested(pod: dict[str, Any], resource: str) -> int:
    if not pod["spec"].get("nodeName"):
        return 0  # it waits, and holds nothing yet
    return sum(
        int((container.get("resources", {}).get("requests") or {}).get(resource, 0))
        for container in pod["spec"]["containers"]
    )


def clock_skew(cluster: Cluster) -> float | Unknown:
    """Return how many seconds the API server's clock is ahead of ours, from the time it gives a dry run."""
    wanted = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"generateName": "mlk8s-doctor-", "namespace": cluster.namespace},
    }
    before = datetime.now(UTC)
    stamp = cluster.create(wanted, dry_run=True)["metadata"].get("creationTimestamp")
    after = datetime.now(UTC)
    if not stamp:
        return Unknown("the API server gave no time")
    # The stamp is cut to whole seconds: half a second is the middle of what it can mean.
    theirs = datetime.fromisoformat(stamp).timestamp() + 0.5
    return theirs - (before.timestamp() + after.timestamp()) / 2
