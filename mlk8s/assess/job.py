"""How far a Job is: running, succeeded, or failed with the cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from mlk8s.assess.causes import Cause, LogSource, pod_cause
from mlk8s.assess.observed import Object, condition, containers, events_of, is_true, place, terminating
from mlk8s.assess.rollout import pod_step
from mlk8s.assess.why.containers import exceeded_memory, exit_words, out_of_memory
from mlk8s.assess.why.refusals import refused_pods

_QUEUE = "kueue.x-k8s.io/queue-name"
_PUBLISHED = '"event": "published'


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What was seen of one Job at one moment: it, its pods, events (oldest first), and the clock reading."""

    job: Object
    pods: Sequence[Object]
    events: Sequence[Object] = ()
    now: datetime


@dataclass(frozen=True)
class JobVerdict:
    """What follows from the facts.

    Attributes:
        state: `failed` also while the Job still runs, where its pod can certainly not start.
        summary: one line of progress, without the name.
        cause: why it failed; while running the best suspicion, or None.
        attempts: pods that were started.
        message: termination message of the pod that succeeded; empty before.
    """

    state: Literal["running", "succeeded", "failed"]
    summary: str
    cause: Cause | None
    attempts: int
    message: str = ""


def assess_job(facts: JobFacts) -> JobVerdict:
    """Return the verdict on a Job."""
    attempts = len(facts.pods)
    if is_true(facts.job, "Complete"):
        return JobVerdict("succeeded", "succeeded", None, attempts, _result(facts.pods))
    if is_true(facts.job, "SuccessCriteriaMet"):
        return JobVerdict("running", "has succeeded, its pods end", None, attempts)
    for kind in ("Failed", "FailureTarget"):
        if is_true(facts.job, kind):
            return JobVerdict("failed", "failed", _failure(facts, condition(facts.job, kind)), attempts)
    if facts.job["spec"].get("suspend"):
        queue = facts.job["metadata"].get("labels", {}).get(_QUEUE)
        return JobVerdict("running", f"waits in queue {queue}" if queue else "suspended", None, attempts)
    return _running(facts, attempts)


def _running(facts: JobFacts, attempts: int) -> JobVerdict:
    ended = [pod for pod in facts.pods if pod.get("status", {}).get("phase") == "Failed"]
    active = [pod for pod in facts.pods if pod.get("status", {}).get("phase") in ("Pending", "Running")]
    limit = int(facts.job["spec"].get("backoffLimit", 6)) + 1
    text = _parts(facts.job) or f"attempt {max(1, attempts)} of {limit}"
    for pod in active:
        if terminating(pod):
            continue
        cause = pod_cause(pod, facts.events, facts.now)
        if cause is not None and cause.certain:
            return JobVerdict("failed", f"{text}: {pod_step(pod)}", cause, attempts)
        return JobVerdict("running", f"{text}: {_step(pod)}", cause, attempts)
    if ended:
        last = _last(ended)
        cause = _end(last, facts.events)
        text = _parts(facts.job) or f"attempt {attempts} of {limit} failed"
        text = f"{text}: {cause.message}; waits for the next"
        return JobVerdict("running", text, _doubtful(cause), attempts)
    refused = refused_pods(facts.job, facts.events)
    return JobVerdict("failed" if refused else "running", "waits for its pod", refused, attempts)


def _parts(job: Object) -> str:
    """Return how many parts of an indexed Job are done; empty for any other Job."""
    if job["spec"].get("completionMode") != "Indexed":
        return ""
    status = job.get("status", {})
    failed = f", failed: {status['failedIndexes']}" if status.get("failedIndexes") else ""
    return f"{int(status.get('succeeded') or 0)} of {job['spec'].get('completions', 1)} parts done{failed}"


def _step(pod: Object) -> str:
    running = any(container.running for container in containers(pod) if not container.sidecar)
    return "pipeline running" if running else pod_step(pod)


def _failure(facts: JobFacts, state: Object) -> Cause:
    """Return why a Job failed: its last pod's own words, else the Job controller's."""
    ended = [pod for pod in facts.pods if pod.get("status", {}).get("phase") == "Failed"]
    reason, words = state.get("reason"), str(state.get("message", ""))
    if reason == "DeadlineExceeded":
        seconds = facts.job["spec"].get("activeDeadlineSeconds")
        # Pods that the deadline itself stopped say nothing about the cause; an earlier one may.
        pod = _last(facts.pods) if facts.pods else None
        waiting = pod_cause(pod, facts.events, facts.now) if pod and not ended else None
        return Cause(
            "job-deadline",
            f"the Job was stopped after its deadline of {seconds} s"
            + (f"; {waiting.message}" if waiting else ""),
            place(facts.job),
            waiting.remedy if waiting else "raise active_deadline, or make the function faster",
            logs=_logs(pod) if pod and not waiting else None,
        )
    if not ended:
        return Cause("job-lost", f"{reason}: {words}", place(facts.job), "see `kubectl describe job`")
    cause = _end(_last(ended), facts.events)
    indexes = facts.job.get("status", {}).get("failedIndexes")
    if indexes:
        message = (
            f"parts {indexes} of {facts.job['spec'].get('completions')} failed; the last: {cause.message}"
        )
        return Cause(cause.kind, message, cause.where, cause.remedy, logs=cause.logs)
    if reason == "BackoffLimitExceeded" and len(ended) > 1:
        return replace(cause, message=f"all {len(ended)} attempts failed; the last one: {cause.message}")
    return cause


def _end(pod: Object, events: Sequence[Object]) -> Cause:
    """Return why a pod that never restarts ended."""
    # A sidecar ends with the others, and how it does so is of no account.
    for container in sorted(containers(pod), key=lambda item: item.sidecar):
        end = container.terminated
        if not end or container.done:
            continue
        if exceeded_memory(pod, container, end, events_of(pod, events)):
            return out_of_memory(pod, container, _logs(pod, container.name))
        words = str(end.get("message") or "").strip()
        said = f": {words}" if words else ""
        return Cause(
            "job-failed",
            f"{container.name} failed with {exit_words(end)}{said}",
            f"{place(pod)}, container {container.name}",
            "its last log lines say why: mend the function or its input, then run the command again",
            logs=_logs(pod, container.name),
        )
    status = pod.get("status", {})
    words = f"{status.get('reason', 'failed')}: {status.get('message', '')}".rstrip(": ")
    return Cause("evicted", f"the pod was lost: {words}", place(pod), "see `kubectl describe nodes`")


def _doubtful(cause: Cause) -> Cause:
    """Return a cause as a suspicion: the next attempt may succeed."""
    return replace(cause, certain=False)


def _last(pods: Sequence[Object]) -> Object:
    return max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def _logs(pod: Object, container: str | None = None) -> LogSource:
    name = container or pod["spec"]["containers"][0]["name"]
    return LogSource(pod["metadata"]["name"], name, previous=False)


def _result(pods: Sequence[Object]) -> str:
    """Return the message of a pod that succeeded; of several parts that of the one which committed."""
    told = [
        str(container.terminated.get("message") or "")
        for pod in pods
        for container in containers(pod)
        if not container.init and not container.sidecar and container.done
    ]
    return next((message for message in told if _PUBLISHED in message), told[0] if told else "")
