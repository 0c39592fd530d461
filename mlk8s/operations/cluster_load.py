"""A load test whose Locust runs in the cluster, seen from here as if it were a process of this machine."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from typing import Any

from mlk8s.assess.causes import Cause, pod_cause
from mlk8s.assess.observed import is_true
from mlk8s.assess.why.containers import exit_words
from mlk8s.assess.why.refusals import refused_pods
from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.clients.locust import LOG
from mlk8s.errors import ClusterError, LoadTestError, Unreachable, UsageError
from mlk8s.loadgen.command import last_words
from mlk8s.loadgen.settings import FILE, Settings
from mlk8s.operations.pulling import Puller
from mlk8s.operations.waiting import Events
from mlk8s.render.common import COMPONENT, MANAGED_BY, MANAGER
from mlk8s.render.facts import RenderFacts
from mlk8s.render.workers import CONTAINER, TARGET, LoadJob, render_files, render_master, render_workers
from mlk8s.report.shares import part_words
from mlk8s.spec.workers import Workers

LEASE = 60.0
"""Seconds that a load test goes on in the cluster after the last word of the process that started it."""
START = 300.0
"""Seconds that the pods may take to run: their image may have to be pulled."""
_MOST = 1_000_000
"""Bytes that fit into a ConfigMap, with what is around them."""
_DRAIN = 15.0
_LOOK = 0.3

Say = Callable[[str], None]


class ClusterLoad:
    """One load test in the cluster: starts it, and takes every trace of it away.

    Args:
        settings: what to send; its directory takes the results and `locust.log`.
        workers: the pods that send.
        image: theirs.
        egress: the rule of a NetworkPolicy that leads to what is loaded.
        longest: seconds after which it is certainly over.
        say: gets a line when a worker is lost.

    Raises:
        UsageError: request and trace do not fit into a ConfigMap.
        LoadTestError: the pods do not start; nothing was sent, and nothing is left.
    """

    late = 0.6
    """Seconds after which what was recorded in a second is here."""

    def __init__(
        self, cluster: Cluster, namespace: str, service: str, settings: Settings, workers: Workers, *,
        image: str, egress: Manifest, longest: float, say: Say,
    ) -> None:  # fmt: skip
        self._cluster, self._namespace, self._say = cluster, namespace, say
        self._directory = settings.directory
        name = f"{service[:40].rstrip('-')}-load-{secrets.token_hex(3)}"
        self._job = LoadJob(
            name=name, service=service, workers=workers, image=image, files=_files(settings), target=egress,
            grace=settings.timeout, lease=LEASE, longest=START + longest,
        )  # fmt: skip
        self._puller = Puller(cluster, namespace, CONTAINER, self._directory)
        self._pods: dict[str, Manifest] = {}
        """Every pod that was seen, as it was seen last."""
        self._gone: set[str] = set()
        self._silent_since: float | None = None
        self._ended = self._clean = False
        self._unwritten = 0
        self._why: str | None = None
        self.lost: dict[int, str] = {}
        """Workers that ended before the master did, by their number from 1, with the reason."""
        self._began = time.monotonic()
        self._over = threading.Event()
        try:
            self._apply()
            threading.Thread(target=self._renew, daemon=True).start()
            self._wait()
        except BaseException:
            self.stop()
            raise

    def running(self) -> bool:
        """Whether the test goes on, after a look at its pods."""
        if self._ended:
            return False
        self._look()
        self._tell_lost()
        silent = self._silent_since is not None and time.monotonic() - self._silent_since > LEASE
        master = self._master()
        if silent or master is None or self._is_over(master):
            self._look()  # its log may have told of its end before it was seen why
            self._why = self._death(self._master())
            self._ended = True
            if self._why is None:
                self._await_workers()
        return not self._ended

    def death(self) -> str | None:
        """Return why the test did not run to its end, or its results are not all here; None otherwise."""
        if self._unwritten:
            return f"the disk is full: {self._unwritten:,} bytes of results could not be written"
        return self._why

    def _death(self, master: Manifest | None) -> str | None:
        if self._silent_since is not None:
            return f"the API server did not answer for {LEASE:g} s; the test in the cluster ends by itself"
        if master is None or self._is_deleted(master):
            return "Locust's master was deleted, so the workers were stopped"
        words = self._end_words(master)
        if words is None:
            return None
        said = self._last_words()
        return f"Locust's master ended with {words}" + (f":\n{said}" if said else "")

    def stop(self) -> None:
        """End the test where it still runs, pull what is left, and delete every object of it."""
        if self._clean:
            return
        self._over.set()
        self._ended = True
        space = self._namespace
        try:
            for name in (self._job.master, self._job.name):
                self._cluster.delete("Job", name, space)
            self._await_gone()
            for kind, name in (("ConfigMap", self._job.name), ("Service", self._job.name)):
                self._cluster.delete(kind, name, space)
            for name in (self._job.master, self._job.name):
                self._cluster.delete("NetworkPolicy", name, space)
        except ClusterError as error:
            self._say(f"what is left of the load test in the cluster goes by itself: {error.what}")
        self._clean = True
        self._unwritten = self._puller.finish(_DRAIN)

    def _apply(self) -> None:
        facts = RenderFacts(namespace=self._namespace)
        sweep(self._cluster, self._namespace, self._job.service)
        self._cluster.apply(render_files(self._job, facts))
        owner = self._cluster.apply(render_master(self._job, facts))
        for item in render_workers(self._job, facts, owner):
            self._cluster.apply(item)

    def _renew(self) -> None:
        """Move the deadline of the master's Job on and on."""
        while not self._over.wait(LEASE / 4):
            deadline = ceil(time.monotonic() - self._began + LEASE)
            try:
                self._cluster.patch(
                    "Job", self._job.master, {"spec": {"activeDeadlineSeconds": deadline}}, self._namespace
                )
            except ClusterError:
                continue  # it is tried again, and without it the test ends

    def _wait(self) -> None:
        """Wait until every pod runs.

        Raises:
            LoadTestError: one certainly does not, or not in time.
        """
        events = Events(self._cluster, self._namespace)
        while True:
            self._look()
            waiting = [pod for pod in self._pods.values() if _phase(pod) == "Pending"]
            if len(self._pods) > self._job.workers.count and not waiting:
                return
            cause = self._cause(waiting, events)
            late = time.monotonic() - self._began > START
            if late or (cause is not None and cause.certain):
                told = cause.message if cause else f"they do not run after {START:g} s"
                raise LoadTestError(
                    f"the pods of the load test do not start: {told}",
                    where=cause.where if cause else f"namespace {self._namespace!r}",
                    next_step=cause.remedy if cause else "`kubectl get events` tells more",
                )
            time.sleep(_LOOK)

    def _cause(self, waiting: list[Manifest], events: Events) -> Cause | None:
        known, now = events.read(), datetime.now(UTC)
        found = [pod_cause(pod, known, now) for pod in waiting]
        for name in (self._job.master, self._job.name):
            job = self._cluster.find("Job", name, self._namespace)
            found.append(refused_pods(job, known) if job is not None else None)
        causes = [cause for cause in found if cause is not None]
        return next((cause for cause in causes if cause.certain), causes[0] if causes else None)

    def _look(self) -> None:
        """See which pods there are, and follow the logs of those that are new."""
        try:
            pods = self._cluster.list("Pod", self._namespace, labels=self._job.selector)
        except Unreachable:
            self._silent_since = self._silent_since or time.monotonic()
            return
        self._silent_since = None
        self._gone = set(self._pods) - {pod["metadata"]["name"] for pod in pods}
        self._pods |= {pod["metadata"]["name"]: pod for pod in pods}
        for name, pod in self._pods.items():
            if _phase(pod) != "Pending":
                number = self._job.worker_of(pod)
                self._puller.follow(name, f"[worker {number}] " if number else "")
            if self._is_over(pod):
                self._puller.ended(name)

    def _is_over(self, pod: Manifest) -> bool:
        return pod["metadata"]["name"] in self._gone or self._has_end(pod)

    def _is_deleted(self, pod: Manifest) -> bool:
        metadata = pod["metadata"]
        return metadata["name"] in self._gone or bool(metadata.get("deletionTimestamp"))

    def _has_end(self, pod: Manifest) -> bool:
        return pod["metadata"]["name"] in self._puller.exits or _phase(pod) in ("Succeeded", "Failed")

    def _end_words(self, pod: Manifest) -> str | None:
        """Return how a pod ended; None for the code 0."""
        status: dict[str, Any] = pod.get("status") or {}
        ends = [(item.get("state") or {}).get("terminated") for item in status.get("containerStatuses") or []]
        code = self._puller.exits.get(pod["metadata"]["name"])
        end = ends[0] if ends and ends[0] else {} if code is None else {"exitCode": code}
        if end:
            return exit_words(end) if end.get("exitCode") != 0 else None
        return f"{status.get('reason', 'no reason')}: {status.get('message', '')}".strip(": ")

    def _master(self) -> Manifest | None:
        return next((pod for pod in self._pods.values() if self._job.worker_of(pod) is None), None)

    def _tell_lost(self) -> None:
        for pod in self._pods.values():
            number = self._job.worker_of(pod)
            if number is None or number in self.lost:
                continue
            why = self._why_lost(pod)
            if why is not None:
                self.lost[number] = why
                count = self._job.workers.count
                self._say(f"worker {number} of {count}: {why}; {part_words(1, count)} of the load is missing")

    def _why_lost(self, pod: Manifest) -> str | None:
        if self._is_deleted(pod):
            return "its pod was deleted"
        words = self._end_words(pod) if self._has_end(pod) else None
        return f"its pod ended with {words}" if words else None

    def _await_workers(self) -> None:
        """Give the workers of a test that is over the time to end: they have said their last words then."""
        end = time.monotonic() + _DRAIN
        while not all(map(self._is_over, self._pods.values())) and time.monotonic() < end:
            time.sleep(_LOOK)
            self._look()

    def _await_gone(self) -> None:
        """Wait for pods that were told to end; those that do not are killed."""
        end = time.monotonic() + self._job.grace + _DRAIN
        while True:
            self._look()
            left = [name for name in self._pods if name not in self._gone]
            if not left:
                return
            if time.monotonic() > end:
                for name in left:
                    self._cluster.delete("Pod", name, self._namespace, grace_seconds=0)
                return
            time.sleep(_LOOK)

    def _last_words(self) -> str:
        try:
            return last_words((self._directory / LOG).read_text(errors="replace"))
        except OSError:
            return ""


def _files(settings: Settings) -> dict[str, bytes]:
    """Return what the pods read, by name.

    Raises:
        UsageError: it is too much.
    """
    settings.write()
    names = [FILE, settings.body, *filter(None, [settings.trace])]
    files = {name: (settings.directory / name).read_bytes() for name in names}
    if settings.ca is not None:
        files["ca.pem"] = (settings.directory / "ca.pem").read_bytes()
    size = sum(map(len, files.values())) * 4 // 3
    if size > _MOST:
        raise UsageError(
            f"request and trace are {size:,} bytes in the form in which the workers get them",
            expected=f"{_MOST:,} or fewer: they go through a ConfigMap",
            next_step="send from this machine: processes=N instead of workers=N",
        )
    return files


def sweep(cluster: Cluster, namespace: str, service: str) -> None:
    """Delete what earlier load tests of a service left: those whose process was killed."""
    labels = f"{TARGET}={service},{MANAGED_BY}={MANAGER},{COMPONENT}=load-master"
    for job in cluster.list("Job", namespace, labels=labels):
        if is_true(job, "Complete") or is_true(job, "Failed"):
            cluster.delete("Job", job["metadata"]["name"], namespace)


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase"))
