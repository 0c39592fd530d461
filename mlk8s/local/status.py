"""What runs of a local cluster, read from the kernel and the API server at the moment of asking."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlk8s.local import registry
from mlk8s.local.agent.api import ApiError
from mlk8s.local.handle import Local
from mlk8s.local.namespaces import Namespaces
from mlk8s.local.pins import OPTIONAL_WORKLOADS
from mlk8s.local.processes import HOLDER, namespace_pids

NAMESPACE = "mlk8s-system"
COMPONENTS = (
    HOLDER,
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "agent",
)


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """One component; `pid` is None when it does not run.

    Args:
        pid: process id on the machine.
        rss: resident memory in bytes.
        uptime: seconds since it started.
    """

    name: str
    pid: int | None
    rss: int = 0
    uptime: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """A cluster as it is now.

    Args:
        node_ready: the node's Ready condition; False also when the API server does not answer.
        message: the condition's words, or why there is none.
        version: the API server's, empty when it does not answer.
        memory: resident memory in bytes of every process of the cluster, pods included.
        optional: parts that were asked for with `--with`, by name, and whether each is ready.
    """

    local: Local
    components: tuple[ComponentStatus, ...]
    node_ready: bool
    message: str
    version: str
    memory: int
    optional: Mapping[str, bool]

    @property
    def running(self) -> bool:
        """Whether every component runs and the node is Ready."""
        return self.node_ready and all(item.pid is not None for item in self.components)


def status(name: str) -> Status | None:
    """The state of one cluster, None where there is none of this name."""
    cluster = registry.find(name)
    if cluster is None:
        return None
    local = Local(cluster)
    namespaces = Namespaces(cluster.directory)
    running, holder = namespaces.running(), namespaces.holder()
    components = tuple(
        ComponentStatus(name=part, pid=found.pid, rss=found.rss(), uptime=found.uptime())
        if (found := running.get(part)) is not None
        else ComponentStatus(name=part, pid=None)
        for part in COMPONENTS
    )
    ready, message, version = False, "the API server does not run", ""
    if running.get("kube-apiserver") is not None:
        ready, message, version = _node(local)
    return Status(
        local=local,
        components=components,
        node_ready=ready,
        message=message,
        version=version,
        memory=sum(_rss(pid) for pid in namespace_pids(holder)) if holder is not None else 0,
        optional=_optional(local) if version else {},
    )


def _node(local: Local) -> tuple[bool, str, str]:
    api = local.api(timeout=3)  # without etcd, an API server that runs lets its callers wait
    try:
        version = str(api.get("/version")["gitVersion"])
        found = api.get(f"/api/v1/nodes/{local.cluster.node_name}")
    except ApiError as error:
        return False, str(error), ""
    for condition in found["status"].get("conditions", []):
        if condition["type"] == "Ready":
            return condition["status"] == "True", str(condition["message"]), version
    return False, "kubelet has said nothing yet", version


def _optional(local: Local) -> dict[str, bool]:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments?labelSelector=app.kubernetes.io/part-of=mlk8s"
    try:
        items = local.api(timeout=3).get(path)["items"]
    except ApiError:
        return {}
    ready = {item["metadata"]["name"]: item["status"].get("availableReplicas", 0) > 0 for item in items}
    return {
        name: all(ready[workload] for workload in workloads)
        for name, workloads in OPTIONAL_WORKLOADS.items()
        if ready.keys() >= set(workloads)
    }


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
