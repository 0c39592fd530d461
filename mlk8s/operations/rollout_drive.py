"""How a rollout is worked on in a process, whatever its kind: by which terms, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlk8s.assess.evidence import Decision
from mlk8s.clients.clock import Clock
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import NotFound
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Rollout
from mlk8s.operations.rollout_tell import Teller, Told
from mlk8s.operations.rollout_view import CanaryResult, Lines, View
from mlk8s.operations.service import Service

Say = Callable[[str], None]
BLIND = 300.0
"""Seconds for which the evidence, or every pod of the new version, may be away before it is rolled back."""
Ended = tuple[Rollout, Decision | None, float | None]
"""What was written down last, the last decision, and requests to the API server a second."""


@dataclass(frozen=True)
class Terms:
    """Who is told of a rollout, and for how long is waited.

    Attributes:
        told: run directory, webhook, metrics.
        blind: seconds for which Prometheus, or every pod of the new version, may be away before it is rolled
            back.
        timeout: seconds until pods must be ready.
        say: gets each line.
        view: what shows its blocks; None for lines.
    """

    told: Told = field(default_factory=Told)
    blind: float = BLIND
    timeout: float = 180.0
    say: Say = print
    view: View | None = None

    @property
    def shown(self) -> View:
        """What shows it."""
        return self.view or Lines(self.say)


def drive(
    service: Service, terms: Terms, prometheus: Prometheus, work: Callable[[Settings], Ended]
) -> CanaryResult:
    """Return what comes of a rollout that `work` brings to its end."""
    clock, transport, view = Clock(), service.cluster.transport, terms.shown
    began, sent, result = clock.now(), transport.sent, None
    try:
        with Teller(terms.told, service, clock, terms.say) as teller:
            settings = Settings(prometheus, teller, clock, view, terms.blind, terms.timeout)
            rollout, decision, rate = work(settings)
        result = CanaryResult(
            service.name, rollout.model, str(rollout.outcome), rollout.why, decision, teller.directory,
            round(clock.now() - began, 1), transport.sent - sent, None if rate is None else round(rate, 2),
        )  # fmt: skip
    finally:
        view.end(result)
    return result


def prometheus_of(service: Service, *, direct: bool = False) -> Prometheus:
    """Return the Prometheus that a rollout is judged by.

    Raises:
        NotFound: the platform names none.
    """
    if service.platform.prometheus is None:
        raise NotFound(
            "the platform names no Prometheus, so nothing could be judged",
            where="ConfigMap mlk8s-system/mlk8s-platform, key prometheus",
            expected="NAMESPACE/SERVICE:PORT",
            next_step="`mlk8s doctor` shows what the cluster offers",
        )
    return Prometheus(service.cluster, service.platform.prometheus, direct=direct)
