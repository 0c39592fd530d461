"""Why a pod does not become ready: the first cause that is certain, in Kubernetes' own words.

A state that may heal by itself (a pod that waits for another to end, a registry that did not answer once) is
a suspicion until its grace period is over. A wait that runs out of time reports its suspicion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlk8s.assess.observed import (
    Container,
    Object,
    age,
    condition,
    containers,
    event_count,
    events_of,
    is_true,
    place,
)

UNSCHEDULABLE_GRACE = 3.0
TERMINATING_GRACE = 20.0
"""Seconds that an unschedulable pod, or a quota, may wait for pods that are ending right now."""
NODE_GRACE = 12.0
PULL_GRACE = 15.0
"""Seconds until the kubelet has tried to pull an image twice (its first back-off is 10 s)."""
CONFIG_GRACE = 3.0
SANDBOX_GRACE = 15.0

_PULL = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_PULL_FINAL = re.compile(
    r"(?i)not found|unauthorized|denied|forbidden|InvalidImageName|ErrImageNeverPull|invalid reference"
)
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError", "PostStartHookError"}


@dataclass(frozen=True)
class LogSource:
    """Whose log shows more: a container of a pod, its last ended run where `previous`."""

    pod: str
    container: str
    previous: bool


@dataclass(frozen=True)
class Cause:
    """Why something cannot become ready.

    Attributes:
        kind: one word: ImagePull, CrashLoop, OutOfMemory, Unschedulable, Quota, Admission, Probe, Config,
            Mount, Node, Sandbox, Evicted, InitContainer, Pipeline, Job, Deadline.
        message: one sentence with Kubernetes' own words.
        where: the object.
        remedy: what the reader can do.
        certain: False as long as it may heal by itself.
        logs: whose log lines belong to it.
    """

    kind: str
    message: str
    where: str
    remedy: str
    certain: bool = True
    logs: LogSource | None = None


def first(causes: Iterator[Cause]) -> Cause | None:
    """Return the first cause that is certain, else the first suspicion."""
    suspicion = None
    for cause in causes:
        if cause.certain:
            return cause
        suspicion = suspicion or cause
    return suspicion


def pod_cause(pod: Object, events: Sequence[Object], now: datetime, *, crowded: bool = False) -> Cause | None:
    """Return why a pod is not ready; None where nothing speaks against it.

    Args:
        pod: the pod.
        events: events of its namespace.
        now: the clock reading.
        crowded: whether pods are ending right now whose place it may get.
    """
    return first(_causes(pod, events_of(pod, events), now, crowded))


def _causes(pod: Object, events: Sequence[Object], now: datetime, crowded: bool) -> Iterator[Cause]:
    yield from _unscheduled(pod, events, now, crowded)
    for container in containers(pod):
        yield from _pull(pod, container, events, now)
        yield from _config(pod, container, now)
        yield from _killed_by_probe(pod, container, events)
        yield from _crash(pod, container)
    yield from _rejected(pod)
    yield from _events(pod, events, now)
    yield from _never_ready(pod, events, now)


def _unscheduled(pod: Object, events: Sequence[Object], now: datetime, crowded: bool) -> Iterator[Cause]:
    state = condition(pod, "PodScheduled")
    if state.get("status") != "False" or state.get("reason") == "SchedulingGated":
        return
    words = str(state.get("message", "no node fits"))
    grace = UNSCHEDULABLE_GRACE
    if "node.kubernetes.io/not-ready" in words or "node.kubernetes.io/unreachable" in words:
        grace = NODE_GRACE
    if crowded:
        grace = max(grace, TERMINATING_GRACE)
    growing = any(event.get("reason") in ("TriggeredScaleUp", "Nominated") for event in events)
    certain = not growing and age(pod["metadata"].get("creationTimestamp"), now) >= grace
    yield Cause("Unschedulable", f"no node takes the pod: {words}", place(pod), _room(words), certain)


def _room(words: str) -> str:
    short = re.search(r"Insufficient ([\w./-]*\w)", words)
    if short and "/" in short[1]:
        return f"ask for fewer {short[1]}, free one that another pod holds, or add a node that has them"
    if short:
        return f"ask for less {short[1]}, free some, or add a node"
    if "PersistentVolumeClaim" in words or "persistentvolumeclaim" in words:
        return "see why the claim is not bound: `kubectl describe pvc`"
    if "node selector" in words or "affinity" in words:
        return "change the node selector, or label a node: `kubectl get nodes --show-labels`"
    return "see the nodes: `kubectl describe nodes`"


def _pull(pod: Object, container: Container, events: Sequence[Object], now: datetime) -> Iterator[Cause]:
    reason = container.waiting.get("reason")
    if reason not in _PULL:
        return
    words = str(container.waiting.get("message", reason))
    failures = [
        e for e in events if e.get("reason") == "Failed" and "pull" in str(e.get("message", "")).lower()
    ]
    told = next((str(e["message"]) for e in reversed(failures) if "Error: " not in str(e["message"])), "")
    if "Back-off" in words and ":" not in words.partition('"')[2].partition('"')[2]:
        words = told or words  # older kubelets keep the registry's words in the event only
    image = container.spec.get("image")
    twice = age(pod["status"].get("startTime"), now) >= PULL_GRACE
    yield Cause(
        "ImagePull",
        f"image {image} cannot be pulled: {_short(words)}",
        f"{place(pod)}, container {container.name}",
        "check the image's name and tag, and that the nodes may pull it",
        certain=bool(_PULL_FINAL.search(f"{reason} {words}")) or twice,
    )


def _config(pod: Object, container: Container, now: datetime) -> Iterator[Cause]:
    reason = container.waiting.get("reason")
    if reason not in _CONFIG:
        return
    yield Cause(
        "Config",
        f"container {container.name} cannot be made: {container.waiting.get('message', reason)}",
        f"{place(pod)}, container {container.name}",
        "create what is missing, then run the command again",
        certain=age(pod["status"].get("startTime"), now) >= CONFIG_GRACE,
    )


def _crash(pod: Object, container: Container) -> Iterator[Cause]:
    end = container.last_end
    if not end or container.done or (container.running and container.restarts == 0):
        return
    if container.status.get("ready") and container.running:
        return
    if pod["spec"].get("restartPolicy") == "Never":
        return  # a pod of a Job: how often another one tries is the Job's to say
    code, reason = end.get("exitCode"), end.get("reason")
    current = bool(container.terminated)
    logs = LogSource(pod["metadata"]["name"], container.name, previous=not current)
    where = f"{place(pod)}, container {container.name}"
    if reason == "OOMKilled":
        limit = container.spec.get("resources", {}).get("limits", {}).get("memory", "no limit")
        yield Cause(
            "OutOfMemory",
            f"{container.name} was killed because it used more memory than its limit ({limit})",
            where,
            "raise resources.memory, or make the model smaller",
            logs=logs,
        )
        return
    looping = container.waiting.get("reason") == "CrashLoopBackOff" or container.restarts >= 2
    again = current and container.restarts >= 1
    words = str(end.get("message") or "").strip()
    if container.init:
        said = f": {_short(words)}" if words else ""
        yield Cause(
            "InitContainer",
            f"{container.name} failed with exit code {code}{said}",
            where,
            "the message says what is wrong; then run the command again",
            certain=looping or again,
            logs=None if words else logs,
        )
        return
    why = f" ({reason})" if reason not in (None, "Error", "Completed") else ""
    yield Cause(
        "CrashLoop",
        f"{container.name} ends as soon as it starts: exit code {code}{why}, "
        f"{container.restarts} restart{'' if container.restarts == 1 else 's'}",
        where,
        "its last log lines say why; then run the command again",
        certain=looping or again,
        logs=logs,
    )


def _killed_by_probe(pod: Object, container: Container, events: Sequence[Object]) -> Iterator[Cause]:
    for event in reversed(events):
        found = re.search(r"failed (startup|liveness) probe", str(event.get("message", "")))
        if event.get("reason") != "Killing" or not found or container.name not in event["message"]:
            continue
        if container.status.get("ready"):
            return
        kind = found[1]
        yield Cause(
            "Probe",
            f"{container.name} was stopped because its {kind} probe failed: {_probe_words(events, kind)}",
            f"{place(pod)}, container {container.name}",
            "see its log; raise startup_timeout if it only needs longer",
            logs=LogSource(pod["metadata"]["name"], container.name, previous=container.restarts > 0),
        )
        return


def _rejected(pod: Object) -> Iterator[Cause]:
    status = pod.get("status", {})
    if status.get("phase") != "Failed" or not status.get("reason"):
        return
    yield Cause(
        "Evicted",
        f"the node refused or evicted the pod: {status['reason']}: {status.get('message', '')}".rstrip(": "),
        place(pod),
        "see the node: `kubectl describe nodes`",
        certain=False,  # its owner makes another one, which may find a better place
    )


def _events(pod: Object, events: Sequence[Object], now: datetime) -> Iterator[Cause]:
    if is_true(pod, "PodReadyToStartContainers"):
        return  # volumes and network are there
    since_start = age(pod["status"].get("startTime") or pod["metadata"].get("creationTimestamp"), now)
    for event in reversed(events):
        reason, words = event.get("reason"), str(event.get("message", ""))
        if reason in ("FailedMount", "FailedAttachVolume"):
            missing = "not found" in words or "non-existent" in words
            yield Cause(
                "Mount",
                f"a volume cannot be mounted: {_short(words)}",
                place(pod),
                "create what is missing, then run the command again" if missing else "see the volume",
                certain=since_start >= (CONFIG_GRACE if missing else SANDBOX_GRACE),
            )
        elif reason == "FailedCreatePodSandBox":
            yield Cause(
                "Sandbox",
                f"the node cannot start the pod: {_short(words)}",
                place(pod),
                "see the node: `mlk8s doctor`, `kubectl describe nodes`",
                certain=event_count(event) >= 3 or since_start >= SANDBOX_GRACE,
            )
        elif reason == "NodeNotReady":
            yield Cause(
                "Node",
                f"node {pod['spec'].get('nodeName')} is not ready",
                place(pod),
                "see the node: `kubectl describe nodes`",
                certain=since_start >= NODE_GRACE,
            )


def _never_ready(pod: Object, events: Sequence[Object], now: datetime) -> Iterator[Cause]:
    """Yield the readiness probe's words; certain once a pod ran for as long as its start may take."""
    for container in containers(pod):
        if container.init or not container.running or container.status.get("ready"):
            continue
        startup = container.spec.get("startupProbe")
        if startup is None and container.spec.get("readinessProbe") is None:
            continue
        allowed = (startup or {}).get("failureThreshold", 3) * (startup or {}).get("periodSeconds", 10)
        kind = "readiness" if container.status.get("started") else "startup"
        words = _probe_words(events, kind)
        yield Cause(
            "Probe",
            f"{container.name} runs but its {kind} probe fails: {words}",
            f"{place(pod)}, container {container.name}",
            "see its log; raise startup_timeout if it only needs longer",
            certain=words != _NO_WORDS and age(container.running.get("startedAt"), now) > allowed,
            logs=LogSource(pod["metadata"]["name"], container.name, previous=False),
        )


_NO_WORDS = "the kubelet has not said why"


def _probe_words(events: Sequence[Object], kind: str) -> str:
    for event in reversed(events):
        words = str(event.get("message", ""))
        if event.get("reason") == "Unhealthy" and words.lower().startswith(kind):
            return _short(words.partition(": ")[2] or words)
    return _NO_WORDS


def _short(words: str, limit: int = 600) -> str:
    """Return the text on one paragraph's length: its end says more than its beginning."""
    text = words.strip()
    return text if len(text) <= limit else "…" + text[-limit:]
