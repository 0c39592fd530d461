"""Watching a rollout that a Job of the cluster works on, and the Job itself."""

from __future__ import annotations

from collections.abc import Callable

from mlk8s.assess.observed import is_true
from mlk8s.clients.clock import Clock
from mlk8s.errors import ClusterError, Mlk8sError
from mlk8s.loadgen.command import last_words
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.canary_watch import watch
from mlk8s.operations.rollout_drive import Terms
from mlk8s.operations.rollout_tell import run_directory, write_record
from mlk8s.operations.rollout_view import CanaryResult
from mlk8s.operations.service import Service
from mlk8s.render.rollout_job import ROLLOUT

_LINES = 20

Say = Callable[[str], None]


def follow(service: Service, terms: Terms) -> CanaryResult:
    """Watch a rollout that the cluster works on until it ends; then its evidence is kept here, too.

    Args:
        terms: where the evidence goes, and what shows it.

    Raises:
        ClusterError: its Job is over and the rollout is not.
    """
    clock, transport = Clock(), service.cluster.transport
    began, sent = clock.now(), transport.sent
    directory = run_directory(terms.told.directory, service.name, clock)
    watched = watch(service, terms.shown, alive=JobWatch(service, terms.say), say=terms.say)
    rollout, record = watched.rollout, watched.record
    if record is not None:
        write_record(directory, record)
    return CanaryResult(
        service.name, rollout.model, str(rollout.outcome), rollout.why,
        record.entries[-1][1] if record is not None and record.entries else None, directory,
        round(clock.now() - began, 1), transport.sent - sent, None,
    )  # fmt: skip


def failed_pod(service: Service) -> str | None:
    """Return the last words of a controller's pod that failed last; None where none did."""
    cluster, namespace, labels = service.cluster, service.namespace, f"{ROLLOUT}={service.name}"
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

    def __init__(self, service: Service, say: Say) -> None:
        self._service, self._say = service, say
        self._failed = 0

    def __call__(self) -> None:
        """Look once.

        Raises:
            ClusterError: the Job is over and the rollout is not.
        """
        cluster, name, namespace = self._service.cluster, self._service.name, self._service.namespace
        job = cluster.find("Job", lease_name(name), namespace)
        failed = int(((job or {}).get("status") or {}).get("failed") or 0)
        if failed > self._failed:
            self._failed = failed
            words = failed_pod(self._service)
            self._say(f"{name}: the controller ended, and the cluster starts it anew: {words}")
        if job is not None and not is_true(job, "Failed"):
            return
        found = rollout_state.read(cluster, name, namespace)
        if found is None or found.ended:
            return
        end = "was deleted" if job is None else "failed"
        raise ClusterError(
            f"nothing works on the rollout of {name} any more: its Job {end}",
            where=f"Job {namespace}/{lease_name(name)}",
            next_step=f"`kubectl logs -n {namespace} job/{lease_name(name)}` tells why; "
            f"`mlk8s canary resume {name}` goes on here, with --in-cluster there",
        )
