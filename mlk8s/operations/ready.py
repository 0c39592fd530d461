"""Wait until the pods of any workload are ready: Deployment, StatefulSet, DaemonSet."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlk8s.assess.workload import WorkloadFacts, WorkloadVerdict, assess_workload, blocking_pods
from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.errors import RolloutFailed, WaitTimeout
from mlk8s.operations.waiting import Events, ServerClock, last_lines, wait_rollout

Say = Callable[[str], None]
READS = {"Deployment": ("Pod", "ReplicaSet"), "StatefulSet": ("Pod",), "DaemonSet": ("Pod",)}
"""Kinds that are waited for, and what must be listed for it."""
_POLL = 0.2  # seconds between two looks
_GRACE = 10.0  # seconds until a refused pod is a failure: objects that it needs may just be arriving


def wait_ready(cluster: Cluster, item: Manifest, *, timeout: float, say: Say) -> None:
    """Wait until an applied object's pods are ready; returns at once for what has none.

    Raises:
        RolloutFailed: the cause is certain, or time was up and there is a suspicion; with last log lines.
        WaitTimeout: time was up and nothing is known.
        NotFound: the object is gone.
    """
    kind, name, namespace = item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", "")
    if kind == "Deployment":
        wait_rollout(cluster, name, namespace, timeout=timeout, say=say)
    elif kind in READS:
        wait_workload(cluster, kind, name, namespace, timeout=timeout, say=say)


def wait_workload(
    cluster: Cluster, kind: str, name: str, namespace: str, *, timeout: float, say: Say
) -> WorkloadVerdict:
    """Wait for a StatefulSet or DaemonSet; see `wait_ready`."""
    events, clock = Events(cluster, namespace), ServerClock(cluster, namespace)
    start = time.monotonic()
    told, failed_since = "", None
    while True:
        facts = look(cluster, kind, name, namespace, events, clock)
        verdict = assess_workload(facts)
        if verdict.summary != told:
            told = verdict.summary
            say(f"{name}: {told}")
        if verdict.state == "ready":
            return verdict
        blocking = blocking_pods(facts) if kind == "StatefulSet" else []
        for pod, broken in blocking:
            say(f"{name}: deleting {pod['metadata']['name']} of the old revision: {broken.message}")
            cluster.delete("Pod", pod["metadata"]["name"], namespace)
        now = time.monotonic()
        failed_since = (failed_since or now) if verdict.state == "failed" else None
        refused = verdict.cause is not None and verdict.cause.kind in ("Admission", "Quota")
        final = failed_since is not None and not blocking and (not refused or now - failed_since >= _GRACE)
        late = now - start >= timeout
        if verdict.cause is not None and (final or late):
            what = f"{name} does not become ready: {verdict.cause.message}"
            lines = last_lines(cluster, namespace, verdict.cause)
            if lines:
                what += "\n  last log lines:\n" + "\n".join(f"    {line}" for line in lines)
            raise RolloutFailed(what, where=verdict.cause.where, next_step=verdict.cause.remedy)
        if late:
            raise WaitTimeout(
                f"{name}: not ready after {timeout:g} s: {told}",
                where=f"{kind} {namespace}/{name}",
                next_step=f"it goes on; `kubectl rollout status {kind.lower()}/{name} -n {namespace}` waits",
            )
        time.sleep(_POLL)


def look(
    cluster: Cluster, kind: str, name: str, namespace: str, events: Events, clock: ServerClock
) -> WorkloadFacts:
    """Return what is to be seen of a workload now."""
    workload = cluster.get(kind, name, namespace)
    selector = workload["spec"]["selector"]["matchLabels"]
    pods = cluster.list(
        "Pod", namespace, labels=",".join(f"{key}={value}" for key, value in selector.items())
    )
    return WorkloadFacts(workload=workload, pods=pods, events=events.read(), now=clock.now())
