"""The analysed rollout: blocks from Prometheus → evidence → weight, promotion or rollback.

Everything is written into the cluster before it is done, so that a rollout whose process was killed, or lost
the API server, is gone on with by the same code that goes on after its own outage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlk8s.assess.evidence import Decision
from mlk8s.assess.rollout_words import Progress
from mlk8s.clients.clock import Clock
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import Mlk8sError, NotFound
from mlk8s.operations.canary import working
from mlk8s.operations.canary_look import KINDS
from mlk8s.operations.canary_open import Plan, open_rollout
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.outage import Outage
from mlk8s.operations.preflight import require_permissions
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Rollout, Wish
from mlk8s.operations.rollout_tell import Teller, Told
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.canary import Canary

__all__ = ["BLIND", "CanaryResult", "Lines", "Told", "View", "resume", "run"]

Say = Callable[[str], None]
BLIND = 300.0
"""Seconds for which the evidence, or every pod of the canary, may be away before it is rolled back."""


@dataclass(frozen=True)
class CanaryResult:
    """How a rollout ended.

    Attributes:
        service, model: what was tried.
        outcome: 'promoted', 'rolled back', or 'inconclusive': time was up, and `decision.action` says what
            was done; 'failed' where the canary was removed by somebody else.
        why: sentences with their numbers.
        decision: the last decision; None where it ended before the first block.
        directory: of evidence.jsonl, which `Record.read` and `mlk8s canary replay` take.
        seconds: that this process worked on it.
        api_calls: requests to the API server in that time, those to Prometheus included.
        api_rate: requests a second from block to block: without start and end; None before the second block.
    """

    service: str
    model: str
    outcome: str
    why: tuple[str, ...]
    decision: Decision | None
    directory: Path
    seconds: float
    api_calls: int
    api_rate: float | None

    @property
    def promoted(self) -> bool:
        """Whether the new version has all requests."""
        return self.outcome == "promoted"

    def __str__(self) -> str:
        lines = [f"{self.service}: {self.model} {self.outcome}", *(f"  {one}" for one in self.why)]
        return "\n".join([*lines, f"  evidence: {self.directory}"])


class View(Protocol):
    """What shows a rollout while it goes on."""

    def show(self, progress: Progress) -> None:
        """Show a block."""
        ...

    def wish(self) -> Wish | None:
        """Return what the user asked for since the last call."""
        ...

    def end(self, result: CanaryResult | None) -> None:
        """Leave what stays; None where it was broken off."""
        ...


class Lines:
    """One plain line a block."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def show(self, progress: Progress) -> None:
        self._say(str(progress))

    def wish(self) -> Wish | None:
        return None

    def end(self, result: CanaryResult | None) -> None:
        """Leave nothing: the lines stay."""


def run(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    canary: Canary,
    analysis: Analysis,
    *,
    told: Told | None = None,
    blind: float = BLIND,
    timeout: float = 180.0,
    say: Say = print,
    view: View | None = None,
) -> CanaryResult:
    """Start a canary and bring it to its end by evidence; a run that was cut off goes on with the same call.

    A rollout of another version that nobody works on is taken back first.

    Args:
        canary: the new version; its weight is the analysis's.
        told: run directory, webhook, metrics.
        blind: seconds for which Prometheus, or every pod of the canary, may be away before it is rolled back.
        timeout: seconds until pods must be ready.

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
    _require_rights(cluster, namespace)
    plan = Plan(canary, analysis)
    prometheus = prometheus_of(cluster, platform)
    prometheus.query("vector(1)")  # what nobody could judge is not begun
    return _drive(cluster, platform, name, namespace, plan, prometheus, told, blind, timeout, say, view)


def resume(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    told: Told | None = None,
    blind: float = BLIND,
    timeout: float = 180.0,
    in_pod: bool = False,
    say: Say = print,
    view: View | None = None,
) -> CanaryResult:
    """Go on with a rollout whose process is gone, from wherever it was.

    Args:
        in_pod: this is the controller's pod: its rights are by name, and it reaches Prometheus itself.

    Raises:
        UsageError: there is none.
        As `run`.
    """
    if not in_pod:
        _require_rights(cluster, namespace)
    prometheus = prometheus_of(cluster, platform, direct=in_pod)
    return _drive(cluster, platform, name, namespace, None, prometheus, told, blind, timeout, say, view)


def _drive(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    plan: Plan | None,
    prometheus: Prometheus,
    told: Told | None,
    blind: float,
    timeout: float,
    say: Say,
    view: View | None,
) -> CanaryResult:
    clock, sent = Clock(), cluster.transport.sent
    began = clock.now()
    shown = view or Lines(say)
    result = None
    try:
        with Teller(told or Told(), cluster, name, namespace, clock, say) as teller:
            settings = Settings(prometheus, teller, clock, shown, blind, timeout)
            rollout, decision, rate = _through_outages(
                cluster, platform, name, namespace, plan, settings, say
            )
        result = CanaryResult(
            name, rollout.model, str(rollout.outcome), rollout.why, decision, teller.directory,
            round(clock.now() - began, 1), cluster.transport.sent - sent,
            None if rate is None else round(rate, 2),
        )  # fmt: skip
    finally:
        shown.end(result)
    return result


def _through_outages(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    plan: Plan | None,
    settings: Settings,
    say: Say,
) -> tuple[Rollout, Decision | None, float | None]:
    """Work on a rollout to its end; where the API server is away, go on when it is back."""
    began, outage = False, Outage(name, say, f"mlk8s canary resume {name}")
    while True:
        work: CanaryWork | None = None
        try:
            with working(cluster, platform, name, namespace, "canary run", say) as work:
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


def _require_rights(cluster: Cluster, namespace: str) -> None:
    require_permissions(cluster, namespace, ("Lease", "Ingress", *KINDS), ("Pod", "ReplicaSet"))


def prometheus_of(cluster: Cluster, platform: Platform, *, direct: bool = False) -> Prometheus:
    """Return the Prometheus that a rollout is judged by.

    Raises:
        NotFound: the platform names none.
    """
    if platform.prometheus is None:
        raise NotFound(
            "the platform names no Prometheus, so nothing could be judged",
            where="ConfigMap mlk8s-system/mlk8s-platform, key prometheus",
            expected="NAMESPACE/SERVICE:PORT",
            next_step="`mlk8s doctor` shows what the cluster offers",
        )
    return Prometheus(cluster, platform.prometheus, direct=direct)
