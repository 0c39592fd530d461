"""How far a StatefulSet or DaemonSet is: progressing, ready, or failed with the cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlk8s.assess.causes import Cause, first, pod_cause
from mlk8s.assess.observed import Object, is_true, terminating
from mlk8s.assess.rollout import pod_step
from mlk8s.assess.why.refusals import refused_pods

_REVISION = "controller-revision-hash"


@dataclass(frozen=True, kw_only=True)
class WorkloadFacts:
    """What was seen of one StatefulSet or DaemonSet at one moment."""

    workload: Object
    pods: Sequence[Object]
    events: Sequence[Object] = ()
    now: datetime


@dataclass(frozen=True)
class WorkloadVerdict:
    """What follows from the facts.

    Attributes:
        state: `failed` only with a cause that is certain.
        summary: one line of progress, without the name.
        cause: why it failed; while progressing the best suspicion, or None.
        ready, wanted: pods that are ready, and that there shall be.
    """

    state: Literal["progressing", "ready", "failed"]
    summary: str
    cause: Cause | None
    ready: int
    wanted: int


def assess_workload(facts: WorkloadFacts) -> WorkloadVerdict:
    """Return the verdict; `ready` means the same as for `kubectl rollout status`, and the pods are there.

    The status alone would say so a moment longer of a pod that was just deleted.
    """
    item = facts.workload
    status = item.get("status", {})
    stateful = item.get("kind") == "StatefulSet"
    wanted = (
        int(item["spec"].get("replicas", 1)) if stateful else int(status.get("desiredNumberScheduled", 0))
    )
    if int(status.get("observedGeneration", 0)) < int(item["metadata"].get("generation", 0)):
        return WorkloadVerdict("progressing", "accepted", None, 0, wanted)
    if stateful:
        ready = int(status.get("readyReplicas") or 0)
        partition = int(
            (item["spec"].get("updateStrategy", {}).get("rollingUpdate") or {}).get("partition", 0)
        )
        updated = int(status.get("updatedReplicas") or 0)
        to_update = max(0, wanted - partition)
        surplus = int(status.get("replicas") or 0) - wanted
    else:
        ready = int(status.get("numberAvailable") or 0)
        updated, to_update = int(status.get("updatedNumberScheduled") or 0), wanted
        surplus = int(status.get("numberMisscheduled") or 0)
    ready = min(ready, sum(is_true(pod, "Ready") and not terminating(pod) for pod in facts.pods))
    text = f"{ready} of {wanted} pods ready"
    if ready >= wanted and updated >= to_update and surplus <= 0:
        return WorkloadVerdict("ready", text, None, ready, wanted)
    cause = first(_causes(facts))
    unready = [pod for pod in facts.pods if not is_true(pod, "Ready") and not terminating(pod)]
    if unready:
        text = f"{text}: {unready[0]['metadata']['name']} {pod_step(unready[0])}"
    elif updated < to_update:
        text = f"{text}, {to_update - updated} to update"
    return WorkloadVerdict("failed" if cause and cause.certain else "progressing", text, cause, ready, wanted)


def blocking_pods(facts: WorkloadFacts) -> list[tuple[Object, Cause]]:
    """Return the pods of an older revision of a StatefulSet that can certainly not become ready.

    The controller waits for them before it goes on, even where the new revision would cure them (Kubernetes'
    documentation, "Forced rollback"): they have to be deleted.
    """
    status, found = facts.workload.get("status", {}), []
    if int(status.get("observedGeneration", 0)) < int(facts.workload["metadata"].get("generation", 0)):
        return []  # its updateRevision is still that of the spec before
    revision = status.get("updateRevision")
    for pod in facts.pods:
        old = revision and pod["metadata"].get("labels", {}).get(_REVISION) != revision
        cause = pod_cause(pod, facts.events, facts.now) if old and not is_true(pod, "Ready") else None
        if cause is not None and cause.certain and not terminating(pod):
            found.append((pod, cause))
    return found


def _causes(facts: WorkloadFacts) -> Iterator[Cause]:
    ending = any(terminating(pod) for pod in facts.pods)
    for pod in facts.pods:
        if not is_true(pod, "Ready") and not terminating(pod):
            cause = pod_cause(pod, facts.events, facts.now, crowded=ending)
            if cause is not None:
                yield cause
    refused = refused_pods(facts.workload, facts.events)
    if refused is not None and len(facts.pods) == 0:
        yield refused
