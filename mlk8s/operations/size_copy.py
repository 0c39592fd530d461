"""One pod of a service to measure: a copy beside it, which is gone again whatever happens.

The service itself, its pods and its autoscaler are never touched, and get none of the load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlk8s.assess.observed import parse_time
from mlk8s.assess.sample import pod_facts
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import Conflict, Mlk8sError, NotFound, RolloutFailed
from mlk8s.operations.apply import owner
from mlk8s.operations.deploy import delete, deploy
from mlk8s.operations.facts import render_facts
from mlk8s.operations.lease import OperatorLease
from mlk8s.operations.service import Service
from mlk8s.render.common import MANAGED_BY, MANAGER, NAME
from mlk8s.render.service import render_service
from mlk8s.render.size import SIZE_OF, size_copy
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]
_GONE = 45.0
"""Seconds that a copy's pod may take to end."""
_POLL = 0.3


@dataclass(frozen=True)
class OnePod:
    """A copy that serves.

    Attributes:
        service: it, as any other service.
        pod: name of its only pod.
        start: seconds from the pod's creation until it was ready; Kubernetes tells whole ones.
    """

    service: Service
    pod: str
    start: float


@contextmanager
def one_pod(
    cluster: Cluster, platform: Platform, spec: ModelService, namespace: str, *, timeout: float, say: Say
) -> Iterator[OnePod]:
    """Run one pod of a service under another name, for as long as the block runs.

    Args:
        spec: the service, as its Deployment has it.
        timeout: seconds in which the pod must be ready.

    Raises:
        UsageError: the service cannot be copied.
        Conflict: an object of the copy's name is somebody else's, or another process measures this service.
        RolloutFailed, WaitTimeout: the pod does not become ready; nothing is left of it.
    """
    copy = size_copy(spec)
    _refuse_others(cluster, platform, copy, namespace)
    purpose = f"size {spec.name}"
    with OperatorLease(cluster, f"mlk8s-size-{spec.name}", namespace, purpose=purpose, say=say):
        _refuse_others(cluster, platform, copy, namespace)  # now that nobody else makes one
        if _pods(cluster, copy.name, namespace) or cluster.find("Deployment", copy.name, namespace):
            say(f"{purpose}: removing {copy.name}, which an earlier run left behind")
            _remove(cluster, platform, copy.name, namespace)
        try:
            say(f"{purpose}: starting one pod of its own, {copy.name}; the service itself gets no load")
            deploy(cluster, platform, copy.replace(namespace=namespace), timeout=timeout, say=_quiet)
            pod, start = _started(cluster, copy.name, namespace)
            yield OnePod(Service(cluster, platform, copy.name, namespace), pod, start)
        finally:
            _take_away(cluster, platform, copy.name, namespace, say)


def _quiet(line: str) -> None:
    """Say nothing: what is told of an ordinary deploy would not be true of a copy that goes again."""


def _refuse_others(cluster: Cluster, platform: Platform, copy: ModelService, namespace: str) -> None:
    for item in render_service(copy, render_facts(platform, namespace)):
        kind, name = item["kind"], item["metadata"]["name"]
        live = cluster.find(f"{item['apiVersion']}/{kind}", name, namespace)
        labels = ((live or {}).get("metadata") or {}).get("labels") or {}
        ours = labels.get(MANAGED_BY) == MANAGER and labels.get(SIZE_OF) == copy.labels[SIZE_OF]
        if live is not None and not ours:
            raise Conflict(
                f"{kind} {name!r} is there already and belongs to {owner(live)}",
                where=f"namespace {namespace!r} of context {cluster.context!r}",
                expected=f"no object of that name: the copy of {copy.labels[SIZE_OF]} that is measured has "
                "it; nothing was written",
                next_step="rename or delete that object, or measure in another namespace",
            )


def _pods(cluster: Cluster, name: str, namespace: str) -> list[dict[str, object]]:
    return cluster.list("Pod", namespace, labels=f"{NAME}={name}")


def _started(cluster: Cluster, name: str, namespace: str) -> tuple[str, float]:
    ready = [pod for pod in pod_facts(_pods(cluster, name, namespace)) if pod["ready"] and not pod["deleted"]]
    if not ready:
        raise RolloutFailed(
            f"the pod of {name} was ready and is not any more", where=f"namespace {namespace}"
        )
    pod = ready[-1]
    created, there = parse_time(pod["created"]), parse_time(pod["ready"])
    seconds = (there - created).total_seconds() if created and there else 0.0
    return str(pod["name"]), max(1.0, seconds)


def _take_away(cluster: Cluster, platform: Platform, name: str, namespace: str, say: Say) -> None:
    """Remove the copy; where that fails, say what is left and let the error that came before go on."""
    try:
        _remove(cluster, platform, name, namespace)
    except (Mlk8sError, KeyboardInterrupt) as error:
        why = error.what if isinstance(error, Mlk8sError) else "interrupted"
        say(f"{name} is still there ({why}): `mlk8s delete {name} -n {namespace}` removes it")
        if isinstance(error, KeyboardInterrupt):
            raise
        return
    say(f"{name} is removed")


def _remove(cluster: Cluster, platform: Platform, name: str, namespace: str) -> None:
    try:
        # What the copy's own spec retains is nothing; a claim that somebody else keeps under its name stays.
        delete(cluster, platform, name, namespace, say=_quiet)
    except NotFound:
        pass  # it was never made, or only its pods still end
    end = time.monotonic() + _GONE
    while _pods(cluster, name, namespace) and time.monotonic() < end:
        time.sleep(_POLL)
