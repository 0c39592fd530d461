"""Faults of the whole cluster, for a cluster of one's own: a taint, a cordon, a node that is gone, an API."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from faults import Fault
from scaler_faults import triggered, watched
from situations import IN_FLIGHT

from mlk8s.clients.cluster import Cluster
from mlk8s.local.status import status

EXTERNAL = {
    "type": "External",
    "external": {"metric": {"name": "queue_length"}, "target": {"type": "Value", "value": "1"}},
}


@dataclass(frozen=True)
class WideFault:
    """One fault of the whole cluster.

    Attributes:
        fault: what is injected into a namespace, and what must be named.
        during: changes the cluster (its name, a client) and mends it afterwards.
        before: whether the change comes before the injection.
        settle: seconds until it shows.
    """

    fault: Fault
    during: Callable[[str, Cluster], AbstractContextManager[None]]
    settle: float
    before: bool = True


def node_name(cluster: Cluster) -> str:
    return str(cluster.list("Node")[0]["metadata"]["name"])


@contextmanager
def tainted(_: str, cluster: Cluster) -> Iterator[None]:
    name = node_name(cluster)
    taints = [{"key": "team", "value": "vision", "effect": "NoSchedule"}]
    cluster.patch("Node", name, {"spec": {"taints": taints}})
    yield
    cluster.patch("Node", name, {"spec": {"taints": None}})


@contextmanager
def cordoned(_: str, cluster: Cluster) -> Iterator[None]:
    name = node_name(cluster)
    cluster.patch("Node", name, {"spec": {"unschedulable": True}})
    yield
    cluster.patch("Node", name, {"spec": {"unschedulable": None}})


@contextmanager
def silent(name: str, cluster: Cluster) -> Iterator[None]:
    """Stop the kubelet, as a node that hangs does, until the cluster has noticed."""
    found = status(name)
    assert found is not None
    pid = next(item.pid for item in found.components if item.name == "kubelet")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + 120
        while _ready(cluster) and time.monotonic() < end:
            time.sleep(1)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        while not _ready(cluster):
            time.sleep(1)


@contextmanager
def without_external(_: str, cluster: Cluster) -> Iterator[None]:
    found = [a for a in cluster.list("APIService") if a["spec"].get("group") == "external.metrics.k8s.io"]
    for item in found:
        cluster.delete("APIService", item["metadata"]["name"])
    yield
    for item in found:
        metadata = {"name": item["metadata"]["name"], "labels": item["metadata"].get("labels") or {}}
        cluster.create(
            {
                "apiVersion": item["apiVersion"],
                "kind": "APIService",
                "metadata": metadata,
                "spec": item["spec"],
            }
        )


def stopped(deployment: str) -> Callable[[str, Cluster], AbstractContextManager[None]]:
    """Return what takes a part of the platform its pods."""

    @contextmanager
    def during(_: str, cluster: Cluster) -> Iterator[None]:
        cluster.patch("Deployment", deployment, {"spec": {"replicas": 0}}, "mlk8s-system")
        while cluster.list("Pod", "mlk8s-system", labels=f"app.kubernetes.io/name={deployment}"):
            time.sleep(0.5)
        yield
        cluster.patch("Deployment", deployment, {"spec": {"replicas": 1}}, "mlk8s-system")

    return during


@contextmanager
def without_admission(_: str, cluster: Cluster) -> Iterator[None]:
    hooks = [cluster.get("MutatingWebhookConfiguration", "vpa-webhook-config")]
    cluster.delete("MutatingWebhookConfiguration", "vpa-webhook-config")
    yield
    for item in hooks:
        cluster.create({**item, "metadata": {"name": item["metadata"]["name"]}})


def _ready(cluster: Cluster) -> bool:
    conditions = cluster.list("Node")[0]["status"]["conditions"]
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


WIDE = [
    WideFault(Fault("taint", "pod/x", "untolerated-taint", r"has the taint team=vision:NoSchedule",
                    lambda s: [s.pod()]), tainted, 6),
    WideFault(Fault("cordon", "pod/x", "node-cordoned", r"is cordoned", lambda s: [s.pod()]), cordoned, 6),
    WideFault(Fault("no-metrics-api", "hpa/x", "hpa-api-missing", r"external.metrics.k8s.io",
                    lambda s: s.scaled(EXTERNAL)), without_external, 40),
    WideFault(Fault("adapter-down", "hpa/x", "hpa-api-down", r"custom.metrics.k8s.io",
                    lambda s: s.scaled(IN_FLIGHT)), stopped("prometheus-adapter"), 40),
    WideFault(Fault("vpa-no-metrics", "vpa/x", "vpa-no-metrics", r"metrics.k8s.io, which VPA asks for",
                    lambda s: watched(s)), stopped("prometheus-adapter"), 40),
    WideFault(Fault("keda-absent", "so/x", "keda-absent", r"operator has not looked",
                    lambda s: triggered(s, "vector(1)")), stopped("keda-operator"), 35),
    WideFault(Fault("vpa-absent", "vpa/x", "vpa-absent", r"no VPA recommender", lambda s: watched(s)),
              stopped("vpa-recommender"), 65),
    WideFault(Fault("vpa-no-updater", "vpa/x", "vpa-no-updater", r"updater, .* does not run",
                    lambda s: watched(s, mode="Recreate", replicas=2)), stopped("vpa-updater"), 40),
    WideFault(Fault("vpa-no-admission", "vpa/x", "vpa-no-admission", r"admission controller, .* is not there",
                    lambda s: watched(s, mode="Initial")), without_admission, 40),
    WideFault(Fault("node-lost", "pod/x", "node-lost", r"node \S+ is not ready", lambda s: [s.pod()]),
              silent, 3, before=False),
]  # fmt: skip
