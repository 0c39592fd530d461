"""Watching a rollout that a Job of the cluster works on, and the Job itself."""

from __future__ import annotations

from collections.abc import Callable

from mlk8s.assess.observed import is_true
from mlk8s.clients.clock import Clock
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import ClusterError, Mlk8sError
from mlk8s.loadgen.command import last_words
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.canary_run import CanaryResult, Lines, View
from mlk8s.operations.canary_watch import watch
from mlk8s.operations.rollout_tell import Told, run_directory, write_record
from mlk8s.render.rollout_job import ROLLOUT

_LINES = 20

Say = Callable[[str], None]


def follow(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    told: Told | None = None,
    say: Say = print,
    view: View | None = None,
) -> CanaryResult:
    """Watch a rollout that the cluster works on until it ends; then its evidence is kept here, too.

    Args:
        told: where the evidence goes.

    Raises:
        ClusterError: its Job is over and the rollout is not.
    """
    clock, sent = Clock(), cluster.transport.sent
    began = clock.now()
    directory = run_directory(told.directory if told is not None else None, name, clock)
    watched = watch(
        cluster, platform, name, namespace, view or Lines(say),
        alive=JobWatch(cluster, name, namespace, say), say=say,
    )  # fmt: skip
    rollout, record = watched.rollout, watched.record
    if record is not None:
        write_record(directory, record)
    return CanaryResult(
        name, rollout.model, str(rollout.outcome), rollout.why,
        record.entries[-1][1] if record is not None and record.entries else None, directory,
        round(clock.now() - began, 1), cluster.transport.sent - sent, None,
    )  # fmt: skip


def failed_pod(cluster: Cluster, name: str, namespace: str) -> str | None:
    """Return the last words of a controller's pod that failed last; None where none did."""
    labels = f"{ROLLOUT}={name}"
    pods = [
        pod for pod in cluster.list("Pod", namespace, labels=labels) if pod["status"].get("phase") == "Failed"
    ]
    if not pods:
        return None
    last = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))["metadata"]["name"]
    try:
        return last_words(cluster.logs(last, namespace, tail=_LINES)) or f"pod {last} said nothing"
    except Mlk8sError:
        return f"pod {last} failed, and its log cannot be read"


class JobWatch:
    """Looks whether a rollout's Job works on it.

    Args:
        say: gets a line when its pod ended and is started anew.
    """

    def __init__(self, cluster: Cluster, name: str, namespace: str, say: Say) -> None:
        self._cluster, self._name, self._namespace, self._say = cluster, name, namespace, say
        self._failed = 0

    def __call__(self) -> None:
        """Look once.

        Raises:
            ClusterError: the Job is over and the rollout is not.
        """
        name, namespace = self._name, self._namespace
        job = self._cluster.find("Job", lease_name(name), namespace)
        failed = int(((job or {}).get("status") or {}).get("failed") or 0)
        if failed > self._failed:
            self._failed = failed
            words = failed_pod(self._cluster, name, namespace)
            self._say(f"{name}: the controller ended, and the cluster starts it anew: {words}")
        if job is not None and not is_true(job, "Failed"):
            return
        found = rollout_state.read(self._cluster, name, namespace)
        if found is None or found.ended:
            return
        end = "was deleted" if job is None else "failed"
        raise ClusterError(
            f"nothing works on the rollout of {name} any more: its Job {end}",
            where=f"Job {namespace}/{lease_name(name)}",
            next_step=f"`kubectl logs -n {namespace} job/{lease_name(name)}` tells why; "
            f"`mlk8s canary resume {name}` goes on here, with --in-cluster there",
        )
