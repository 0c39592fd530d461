"""The analysed rollout: blocks from Prometheus → evidence → weight, promotion or rollback.

Everything is written into the cluster before it is done, so that a rollout whose process was killed, or lost
the API server, is gone on with by the same code that goes on after its own outage.
"""

from __future__ import annotations

from functools import partial

from mlk8s.errors import Mlk8sError
from mlk8s.operations.canary import working
from mlk8s.operations.canary_look import KINDS
from mlk8s.operations.canary_open import Plan, open_rollout
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.outage import Outage
from mlk8s.operations.preflight import require_permissions
from mlk8s.operations.rollout_drive import Ended, Terms, drive, prometheus_of
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_tell import Told
from mlk8s.operations.rollout_view import CanaryResult
from mlk8s.operations.service import Service

__all__ = ["CanaryResult", "Plan", "Told", "resume", "run"]


def run(service: Service, plan: Plan, terms: Terms) -> CanaryResult:
    """Start a canary and bring it to its end by evidence; a run that was cut off goes on with the same call.

    A rollout of another version that nobody works on is taken back first.

    Args:
        plan: the new version, and what it has to show; its weight is the analysis's.

    Returns:
        How it ended; an outcome is no error.

    Raises:
        NotFound: no such service, or the platform names no Prometheus.
        Conflict: another process works on it; named.
        RolledBack: the canary never became ready; its weight was 0 all the time.
        Rejected: a quota, or the lack of a GPU, keeps its pods from starting; nothing was made.
        ClusterError: it could not be rolled back; the message has the command to do it by hand.
        Unreachable: the API server did not answer for half an hour; `resume` goes on.
    """
    _require_rights(service)
    prometheus = prometheus_of(service)
    prometheus.query("vector(1)")  # what nobody could judge is not begun
    return drive(service, terms, prometheus, partial(_through_outages, service, plan, terms))


def resume(service: Service, terms: Terms, *, in_pod: bool = False) -> CanaryResult:
    """Go on with a rollout whose process is gone, from wherever it was.

    Args:
        in_pod: this is the controller's pod: its rights are by name, and it reaches Prometheus itself.

    Raises:
        UsageError: there is none.
        As `run`.
    """
    if not in_pod:
        _require_rights(service)
    prometheus = prometheus_of(service, direct=in_pod)
    return drive(service, terms, prometheus, partial(_through_outages, service, None, terms))


def _through_outages(service: Service, plan: Plan | None, terms: Terms, settings: Settings) -> Ended:
    """Work on a rollout to its end; where the API server is away, go on when it is back."""
    began, outage = False, Outage(service.name, terms.say, f"mlk8s canary resume {service.name}")
    while True:
        work: CanaryWork | None = None
        try:
            with working(service, "canary run", terms.say) as work:
                controller = open_rollout(work, settings, plan)
                plan, began = None, True  # what is in the cluster from now on is gone on with
                outage.over()
                return controller.go()
        except Mlk8sError as error:
            if work is not None and work.record is not None:
                plan, began = None, True
            if not began:
                raise
            outage.wait(error, work.lease if work is not None else None)


def _require_rights(service: Service) -> None:
    kinds = ("Lease", "Ingress", *KINDS)
    require_permissions(service.cluster, service.namespace, kinds, ("Pod", "ReplicaSet"))
