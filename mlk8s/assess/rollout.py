"""How far a Deployment's rollout is: progressing, ready, or failed with the cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from mlk8s.assess.causes import TERMINATING_GRACE, Cause, first, pod_cause
from mlk8s.assess.observed import Container, Object, age, condition, containers, is_true, place, terminating
from mlk8s.assess.why.refusals import refusal

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_VERSION = "app.kubernetes.io/version"
_REPLICA_GRACE = (
    2.0  # seconds a ReplicaSet may fail to create pods: objects that it needs may just be arriving
)


@dataclass(frozen=True, kw_only=True)
class RolloutFacts:
    """What was seen of one Deployment at one moment.

    Attributes:
        deployment: the Deployment.
        replica_sets: its ReplicaSets.
        pods: its pods, those that are ending included.
        events: events of the namespace, oldest first; may be empty as long as nothing looks wrong.
        now: the clock reading.
    """

    deployment: Object
    replica_sets: Sequence[Object]
    pods: Sequence[Object]
    events: Sequence[Object] = ()
    now: datetime


@dataclass(frozen=True)
class RolloutVerdict:
    """What follows from the facts.

    Attributes:
        state: `failed` only with a cause that is certain.
        summary: one line of progress, without the name.
        cause: why it failed; while progressing the best suspicion, or None.
        ready: ready pods of the new version.
        wanted: pods of the new version that there shall be.
        old: what still serves of the old version, such as 'the old version (1), 2 pods'; None if nothing.
    """

    state: Literal["progressing", "ready", "failed"]
    summary: str
    cause: Cause | None
    ready: int
    wanted: int
    old: str | None


def assess_rollout(facts: RolloutFacts) -> RolloutVerdict:
    """Return the verdict on a rollout; `ready` means the same as for `kubectl rollout status`."""
    status = facts.deployment.get("status", {})
    wanted = int(facts.deployment["spec"].get("replicas", 1))
    observed = int(status.get("observedGeneration", 0)) >= int(
        facts.deployment["metadata"].get("generation", 0)
    )
    new = new_replica_set(facts)
    if not observed or new is None or not _made_from(new, facts.deployment):
        paused = _paused(facts)
        if observed and paused is not None:
            words = "paused before its first pod"
            return RolloutVerdict("failed", words, paused, 0, wanted, old_version(facts))
        return RolloutVerdict("progressing", "accepted", None, 0, wanted, old_version(facts))
    pods = new_pods(facts)
    ready = sum(is_true(pod, "Ready") for pod in pods)
    if _complete(status, wanted):
        return RolloutVerdict("ready", f"{ready} of {wanted} pods ready", None, ready, wanted, None)
    cause = first(_causes(facts, new, pods))
    old = old_version(facts)
    if cause is not None and cause.kind == "Unschedulable" and old is not None:
        cause = replace(cause, remedy=f"{cause.remedy}; an update needs room for one pod more")
    state: Literal["progressing", "failed"] = "failed" if cause and cause.certain else "progressing"
    return RolloutVerdict(state, _summary(facts, pods, ready, wanted), cause, ready, wanted, old)


def new_replica_set(facts: RolloutFacts) -> Object | None:
    """Return the ReplicaSet of the Deployment's current revision; None before the controller has made it."""
    current = revision(facts.deployment)
    for item in facts.replica_sets:
        if current and revision(item) == current:
            return item
    return None


def _made_from(replica_set: Object, deployment: Object) -> bool:
    """Return whether a ReplicaSet has the Deployment's template, as the controller compares them.

    When the number of pods changes together with the template, the controller first scales the old
    ReplicaSet and reports the generation as observed; its pods are not those of this rollout.
    """

    def template(item: Object) -> object:
        found = item.get("spec", {}).get("template") or {}
        labels = {
            key: value for key, value in found.get("metadata", {}).get("labels", {}).items() if key != _HASH
        }
        return labels, found.get("spec")

    return "template" not in replica_set.get("spec", {}) or template(replica_set) == template(deployment)


def previous_replica_set(facts: RolloutFacts) -> Object | None:
    """Return the ReplicaSet to go back to; None where there is none.

    It is the last one that still serves, else that of the revision before: after two failed deploys the
    revision before is no place to go to.
    """
    new = new_replica_set(facts)
    older = [item for item in facts.replica_sets if new is not None and revision(item) < revision(new)]
    serving = [item for item in older if int(item.get("status", {}).get("readyReplicas", 0)) > 0]
    return max(serving or older, key=revision, default=None)


def new_pods(facts: RolloutFacts) -> list[Object]:
    """Return the pods of the current revision that are not ending."""
    new = new_replica_set(facts)
    wanted = new["metadata"].get("labels", {}).get(_HASH) if new else None
    return [pod for pod in facts.pods if _hash(pod) == wanted and wanted and not terminating(pod)]


def stuck_pods(facts: RolloutFacts) -> list[tuple[Object, Cause]]:
    """Return the pods of the current revision that have failed for sure, with the cause.

    Their back-off may last minutes after the fault is gone: a new pod in their place starts at once. A pod
    that only waits for a node is not among them.
    """
    found = []
    for pod in new_pods(facts):
        cause = None if is_true(pod, "Ready") else pod_cause(pod, facts.events, facts.now)
        if cause is not None and cause.certain and cause.kind != "Unschedulable":
            found.append((pod, cause))
    return found


def old_version(facts: RolloutFacts) -> str | None:
    """Return what still serves of the version before, in words; None where nothing does."""
    new = new_replica_set(facts)
    current = new["metadata"].get("labels", {}).get(_HASH) if new else None
    old = [
        pod for pod in facts.pods if _hash(pod) != current and not terminating(pod) and is_true(pod, "Ready")
    ]
    if not old or current is None:
        return None
    versions = sorted({pod["metadata"].get("labels", {}).get(_VERSION, "?") for pod in old})
    return f"the old version ({', '.join(versions)}), {_count(len(old), 'pod')}"


def _complete(status: Object, wanted: int) -> bool:
    updated = int(status.get("updatedReplicas", 0))
    return (
        updated >= wanted
        and int(status.get("replicas", 0)) <= updated
        and int(status.get("availableReplicas", 0)) >= updated
    )


def _causes(facts: RolloutFacts, new: Object, pods: Sequence[Object]) -> Iterator[Cause]:
    paused = _paused(facts)
    if paused is not None:
        yield paused
    ending = any(terminating(pod) for pod in facts.pods)
    yield from _no_pods(facts, new, ending)
    for pod in pods:
        if not is_true(pod, "Ready"):
            cause = pod_cause(pod, facts.events, facts.now, crowded=ending)
            if cause is not None:
                yield cause
    progressing = condition(facts.deployment, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        seconds = facts.deployment["spec"].get("progressDeadlineSeconds", 600)
        suspicions = (pod_cause(pod, facts.events, facts.now) for pod in pods if not is_true(pod, "Ready"))
        best = next((cause for cause in suspicions if cause is not None), None)
        if best is not None:
            yield replace(best, message=f"no progress in {seconds} s; {best.message}", certain=True)
            return
        yield Cause(
            "rollout-deadline",
            f"no progress in {seconds} s",
            place(facts.deployment),
            "see the pods: `kubectl describe pods`",
        )


def _paused(facts: RolloutFacts) -> Cause | None:
    if not facts.deployment["spec"].get("paused"):
        return None
    name = facts.deployment["metadata"].get("name")
    remedy = f"`mlk8s rollout resume {name}` lets it go on"
    return Cause("rollout-paused", "its rollout is paused: no pod changes", place(facts.deployment), remedy)


def _no_pods(facts: RolloutFacts, new: Object, ending: bool) -> Iterator[Cause]:
    """Yield why the ReplicaSet cannot create pods: quota, Pod Security, an admission webhook."""
    for item in (new, facts.deployment):
        state = condition(item, "ReplicaFailure")
        if state.get("status") != "True":
            continue
        words = str(state.get("message", ""))
        grace = TERMINATING_GRACE if ending else _REPLICA_GRACE
        certain = age(state.get("lastTransitionTime"), facts.now) >= grace
        yield refusal(words, item, certain=certain)
        return


def _summary(facts: RolloutFacts, pods: Sequence[Object], ready: int, wanted: int) -> str:
    text = f"{ready} of {wanted} pods ready"
    unready = [pod for pod in pods if not is_true(pod, "Ready")]
    if unready:
        return f"{text}: {pod_step(unready[0])}"
    status = facts.deployment.get("status", {})
    left = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    if ready >= wanted and left > 0:
        return f"{text}, {_count(left, 'old pod')} to go"
    return text


def pod_step(pod: Object) -> str:
    """Return how far a pod's start is, in a few words: 'fetch-model done, server starting'."""
    if not pod.get("spec", {}).get("nodeName"):
        return "waiting for a node"
    steps = [f"{item.name} {_state(item)}" for item in containers(pod) if item.status]
    started = [step for step in steps if not step.endswith(" waits")]
    return ", ".join(started) or "node prepares the pod"


def _state(container: Container) -> str:
    if container.done:
        return "done"
    if container.running:
        if container.init:
            return "running"
        return "ready" if container.status.get("ready") else "starting"
    if container.terminated:
        return f"failed (exit code {container.terminated.get('exitCode')})"
    reason = container.waiting.get("reason", "")
    return "waits" if reason in ("", "PodInitializing", "ContainerCreating") else reason


def revision(item: Object) -> int:
    """Return the revision that a Deployment or ReplicaSet got from the controller; 0 where it has none."""
    return int(item["metadata"].get("annotations", {}).get(_REVISION, 0))


def _hash(pod: Object) -> str | None:
    value = pod["metadata"].get("labels", {}).get(_HASH)
    return str(value) if value else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
