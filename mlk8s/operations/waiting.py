"""Wait for a rollout or a Job: one line a change, an end as soon as the cause is certain."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mlk8s.assess.causes import Cause
from mlk8s.assess.job import JobFacts, JobVerdict, assess_job
from mlk8s.assess.observed import is_true, parse_time
from mlk8s.assess.rollout import RolloutFacts, RolloutVerdict, assess_rollout
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.cluster import Manifest as Object
from mlk8s.errors import ClusterError, Forbidden, RolloutFailed, WaitTimeout
from mlk8s.operations.followed import Followed, Reads

Say = Callable[[str], None]
_POLL = 0.2  # seconds between two looks
_EVENTS = 1.0  # seconds between two readings of the namespace's events, which may be many
_LINES = 12  # log lines in a message


def wait_rollout(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    timeout: float,
    say: Say,
    undo: str | None = None,
    check: Callable[[], None] | None = None,
) -> RolloutVerdict:
    """Wait until a Deployment's current revision is rolled out.

    Args:
        timeout: seconds.
        say: gets one line a change.
        undo: what to suggest after a failure, beside the cause's own remedy.
        check: called at every look; whatever it raises ends the wait.

    Raises:
        RolloutFailed: the cause is certain, or time was up and there is a suspicion.
        WaitTimeout: time was up and nothing is known.
        NotFound: the Deployment is gone.
    """
    end = time.monotonic() + timeout
    told = ""
    try:
        with Followed(cluster) as followed:
            watcher = RolloutWatcher(cluster, name, namespace, followed)
            while True:
                if check is not None:
                    check()
                verdict = watcher.look()
                if verdict.summary != told:
                    told = verdict.summary
                    say(f"{name}: {told}")
                if verdict.state == "ready":
                    return verdict
                late = time.monotonic() >= end
                if verdict.cause is not None and (verdict.state == "failed" or late):
                    raise _rollout_failed(
                        cluster, name, namespace, verdict, verdict.cause, timeout if late else None, undo
                    )
                if late:
                    raise WaitTimeout(
                        f"{name}: not ready after {timeout:g} s: {verdict.summary}",
                        where=f"Deployment {namespace}/{name}",
                        next_step=f"the rollout goes on; `kubectl rollout status deployment/{name} "
                        f"-n {namespace}` waits for it",
                    )
                time.sleep(_POLL)
    except KeyboardInterrupt:
        say(
            f"{name}: stopped waiting ({told or 'applied'}); the rollout goes on in the cluster: "
            f"`kubectl rollout status deployment/{name} -n {namespace}` waits for it, "
            f"`mlk8s services` shows it, running the command again resumes"
        )
        raise


class RolloutWatcher:
    """Looks at one Deployment; reads events only while something is not ready.

    Args:
        followed: what keeps, for as long as it is waited, what is looked at.
    """

    def __init__(self, cluster: Cluster, name: str, namespace: str, followed: Followed | None = None) -> None:
        self._cluster, self._name, self._namespace = cluster, name, namespace
        self._followed = followed
        self._events = Events(followed or cluster, namespace)
        self._clock = ServerClock(cluster, namespace)

    def facts(self, reads: Reads | None = None) -> RolloutFacts:
        """Return what is to be seen now."""
        reads = reads or self._cluster
        deployment = reads.get("Deployment", self._name, self._namespace)
        selector = deployment["spec"]["selector"]["matchLabels"]
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = reads.list("Pod", self._namespace, labels=labels)
        replica_sets = reads.list("ReplicaSet", self._namespace, labels=labels)
        quiet = all(is_true(pod, "Ready") for pod in pods)
        return RolloutFacts(
            deployment=deployment,
            replica_sets=replica_sets,
            pods=pods,
            events=() if quiet else self._events.read(),
            now=self._clock.now(),
        )

    def look(self) -> RolloutVerdict:
        """Return the verdict on what is to be seen now; an end is told of what was read for it."""
        if self._followed is None:
            return assess_rollout(self.facts())
        return self._followed.look(
            lambda reads: assess_rollout(self.facts(reads)), lambda verdict: verdict.state != "progressing"
        )


def wait_job(cluster: Cluster, name: str, namespace: str, *, timeout: float, say: Say) -> JobVerdict:
    """Wait until a Job has succeeded.

    Raises:
        RolloutFailed: it failed, or its pod can certainly not start; with the last log lines.
        WaitTimeout: it still runs after `timeout` seconds.
        NotFound: the Job is gone.
    """
    clock = ServerClock(cluster, namespace)
    end = time.monotonic() + timeout
    told = ""
    try:
        with Followed(cluster) as followed:
            events = Events(followed, namespace)
            while True:
                verdict = followed.look(
                    lambda reads: _look_at_job(reads, name, namespace, events, clock),
                    lambda seen: seen.state != "running",
                )
                if verdict.summary != told:
                    told = verdict.summary
                    say(f"{name}: {told}")
                if verdict.state == "succeeded":
                    return verdict
                late = time.monotonic() >= end
                if verdict.cause is not None and (verdict.state == "failed" or late):
                    raise _failed(cluster, namespace, f"{name}: {verdict.cause.message}", verdict.cause)
                if late:
                    raise WaitTimeout(
                        f"{name}: not finished after {timeout:g} s: {verdict.summary}",
                        where=f"Job {namespace}/{name}",
                        next_step="it goes on; running the command again waits for it",
                    )
                time.sleep(_POLL)
    except KeyboardInterrupt:
        say(
            f"{name}: stopped waiting ({told or 'created'}); the Job goes on in the cluster: "
            f"running the command again waits for it, `kubectl delete job {name} -n {namespace}` stops it"
        )
        raise


def look_at_job(
    cluster: Cluster,
    name: str,
    namespace: str,
    events: Events | None = None,
    clock: ServerClock | None = None,
) -> JobVerdict:
    """Return the verdict on a Job as it is now."""
    return _look_at_job(
        cluster, name, namespace, events or Events(cluster, namespace),
        clock or ServerClock(cluster, namespace),
    )  # fmt: skip


def _look_at_job(reads: Reads, name: str, namespace: str, events: Events, clock: ServerClock) -> JobVerdict:
    job: Object = reads.get("Job", name, namespace)
    pods = reads.list("Pod", namespace, labels=f"batch.kubernetes.io/job-name={name}")
    return assess_job(JobFacts(job=job, pods=pods, events=events.read(), now=clock.now()))


class ServerClock:
    """The API server's clock: ages of pods and events are measured with the clock that stamped them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._ahead: timedelta | None = None

    def now(self) -> datetime:
        """Return the server's time; this machine's, where we may not ask."""
        if self._ahead is None:
            self._ahead = self._measure()
        return datetime.now(UTC) + self._ahead

    def _measure(self) -> timedelta:
        metadata = {"generateName": "mlk8s-clock-", "namespace": self._namespace}
        try:
            made = self._cluster.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, dry_run=True
            )
        except ClusterError:
            return timedelta()
        # A stamp is cut to whole seconds: less than two seconds may be no difference at all.
        stamp = parse_time(made["metadata"].get("creationTimestamp"))
        ahead = stamp - datetime.now(UTC) if stamp else timedelta()
        return ahead if abs(ahead) >= timedelta(seconds=2) else timedelta()


class Events:
    """A namespace's events, read at most once a second; none where we may not read them."""

    def __init__(self, reads: Reads, namespace: str) -> None:
        self._reads, self._namespace = reads, namespace
        self._read = 0.0
        self._events: list[Object] = []

    def read(self) -> list[Object]:
        if time.monotonic() - self._read >= _EVENTS:
            try:
                self._events = self._reads.events(self._namespace)
            except Forbidden:
                self._events = []
            self._read = time.monotonic()
        return self._events


def _rollout_failed(
    cluster: Cluster,
    name: str,
    namespace: str,
    verdict: RolloutVerdict,
    cause: Cause,
    waited: float | None,
    undo: str | None,
) -> RolloutFailed:
    late = f" after {waited:g} s" if waited is not None else ""
    what = f"{name} does not become ready{late}: {cause.message}"
    if verdict.old:
        what += f"\n  {verdict.old}, still serves"
        undo = undo or f"`mlk8s undo {name}` goes back to it"
        cause = replace(cause, remedy=f"{cause.remedy}; {undo}")
    return _failed(cluster, namespace, what, cause)


def _failed(cluster: Cluster, namespace: str, what: str, cause: Cause) -> RolloutFailed:
    lines = last_lines(cluster, namespace, cause)
    if lines:
        shown = "\n".join(f"    {line}" for line in lines)
        what += f"\n  last log lines:\n{shown}"
    return RolloutFailed(what, where=cause.where, next_step=cause.remedy)


def last_lines(cluster: Cluster, namespace: str, cause: Cause) -> list[str]:
    """Return the last log lines that belong to a cause; empty where there are none, or not for us."""
    source = cause.logs
    if source is None:
        return []
    for previous in (source.previous, not source.previous):
        try:
            text = cluster.logs(
                source.pod, namespace, container=source.container, tail=_LINES, previous=previous
            )
        except ClusterError:
            continue
        if text.strip():
            return text.rstrip().splitlines()
    return []
