"""Why a node does not start a pod, or gave it up: volumes, sandbox, pressure, a node that is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from mlk8s.assess.cause import Cause, short
from mlk8s.assess.observed import Object, age, event_count, is_true, place
from mlk8s.assess.why.containers import CONFIG_GRACE, NODE_DELAY, RETRY_GRACE, missing

NODE_GRACE = 12.0
SANDBOX_GRACE = 15.0


def rejected(pod: Object) -> Iterator[Cause]:
    """Yield why the kubelet refused or evicted a pod."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed" or not status.get("reason"):
        return
    yield Cause(
        "evicted",
        f"the node refused or evicted the pod: {status['reason']}: {status.get('message', '')}".rstrip(": "),
        place(pod),
        _room(str(status.get("message", ""))),
        certain=False,  # its owner makes another one, which may find a better place
        evidence=(f"node {pod['spec'].get('nodeName')}",),
    )


def _room(words: str) -> str:
    if "EmptyDir" in words or "emptyDir" in words:
        return "raise the emptyDir's sizeLimit, or write less into it"
    if "ephemeral" in words:
        return "raise resources.limits.ephemeral-storage, or write less to the container's disk"
    if "memory" in words:
        return "request as much memory as the pod uses, so that it is not the first to go; or add a node"
    return "see the node's pressures: `kubectl describe nodes`"


def node_events(pod: Object, events: Sequence[Object], now: datetime) -> Iterator[Cause]:
    """Yield what keeps a pod from having its volumes and its network."""
    if is_true(pod, "PodReadyToStartContainers"):
        return
    since_start = age(pod["status"].get("startTime") or pod["metadata"].get("creationTimestamp"), now)
    for event in reversed(events):
        reason, words = event.get("reason"), str(event.get("message", ""))
        if reason in ("FailedMount", "FailedAttachVolume"):
            key, remedy = missing(words, pod, other="volume-mount")
            known = key != "volume-mount"
            grace = RETRY_GRACE if NODE_DELAY.search(words) else SANDBOX_GRACE
            yield Cause(
                key,
                f"a volume cannot be mounted: {short(words)}",
                place(pod),
                remedy if known else "see the volume: `kubectl describe pvc`, `kubectl describe pv`",
                certain=since_start >= (CONFIG_GRACE if known else grace),
                evidence=(f"{reason} × {event_count(event)}: {short(words, 300)}",),
            )
        elif reason == "FailedCreatePodSandBox":
            yield Cause(
                "sandbox",
                f"the node cannot start the pod: {short(words)}",
                place(pod),
                "see the node: `mlk8s doctor`, `kubectl describe nodes`",
                certain=since_start >= RETRY_GRACE
                or (
                    NODE_DELAY.search(words) is None
                    and (event_count(event) >= 3 or since_start >= SANDBOX_GRACE)
                ),
            )
        elif reason == "NodeNotReady":
            yield Cause(
                "node-lost",
                f"node {pod['spec'].get('nodeName')} is not ready",
                place(pod),
                "see the node: `kubectl describe nodes`",
                certain=since_start >= NODE_GRACE,
            )
