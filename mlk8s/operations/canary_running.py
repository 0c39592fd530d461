"""A rollout that is being worked on: what is known of it, and the few writes that its steps are made of."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from mlk8s.assess.canary import last_writer
from mlk8s.assess.evidence import Decision, Judge, State, slo_edges
from mlk8s.clients.clock import Clock
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import Conflict
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_counts import Counts
from mlk8s.operations.canary_look import rule_name, selector
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.rollout_state import Packed, Request, Rollout, Stage, Wish
from mlk8s.operations.rollout_tell import Teller
from mlk8s.spec.analysis import Analysis

if TYPE_CHECKING:
    from mlk8s.operations.canary_run import View

_TICK = 0.2


@dataclass(frozen=True)
class Settings:
    """What a controller works with, beside the cluster.

    Attributes:
        blind: seconds for which the evidence, or every pod of the canary, may be away.
        timeout: seconds until pods must be ready.
    """

    prometheus: Prometheus
    teller: Teller
    clock: Clock
    view: View
    blind: float
    timeout: float


@dataclass(frozen=True)
class Seen:
    """What the cluster holds of the canary: its weight, who set it last, ready pods, hash of the template."""

    weight: int
    manager: str | None
    ready: int
    template: str | None


class Running:
    """One rollout under the Lease of its process.

    Attributes:
        rollout: as it is, or is about to be, written down.
        notes: what a user should know of the SLO's bounds.
        state, decision: the evidence, and what was decided on it last.
        end_of_block: second since the epoch at which the last block ended.
        wish: what the view was asked for, and is not answered yet.
    """

    def __init__(self, work: CanaryWork, settings: Settings, rollout: Rollout) -> None:
        self.work, self.set, self.rollout = work, settings, rollout
        self.name, self.tell, self.clock = work.name, settings.teller, settings.clock
        self.decision: Decision | None = None
        self.wish: Wish | None = None
        self.analysis = Analysis(**rollout.analysis)
        self.edges, self.notes = slo_edges(self.analysis.slo)
        self.judge = Judge(self.analysis, edges=self.edges)
        self.counts = Counts(settings.prometheus, self.name, work.namespace, self.edges, self.analysis.block)
        self.state: State = self.judge.start(self.clock.now())
        self.end_of_block = self.state.started

    def say(self, text: str) -> None:
        """Say a line about this service."""
        self.work.say(f"{self.name}: {text}")

    def note(self, **changes: Any) -> None:
        """Take note of changes; the next write has them."""
        self.rollout = replace(self.rollout, **changes)

    def write(self, *, packed: bool = False) -> Request | None:
        """Write the rollout down, with its blocks where `packed`; return what another process asks."""
        work = self.work
        work.lease.check()
        more = None
        if packed:
            cursor = self.counts.cursor
            more = Packed(self.state.to_dict(), cursor.to_dict() if cursor is not None else None)
        return rollout_state.write(work.cluster, self.name, work.namespace, self.rollout, more)

    def set_weight(
        self, weight: int, *, force: bool = False, stage: Stage | None = None, packed: bool = False
    ) -> None:
        """Write down the weight that is meant, with the blocks where `packed`, set it, and write that down.

        Raises:
            Conflict: somebody else set it, and not `force`.
        """
        record = self.work.record
        if record is None:
            raise AssertionError("a weight is set of a canary that is recorded")
        before = self.rollout
        self.note(weight=weight)
        self.write(packed=packed)
        try:
            self.work.set_weight(weight, force=force)
        except Conflict:
            self.rollout = before
            raise
        self.work.write(record, weight=weight)
        self.tell.weight(weight)
        if stage is not None:
            self.note(stage=stage)

    def see(self) -> Seen:
        """Return what the cluster holds now."""
        work = self.work
        rule = work.cluster.find(work.rule.kind, rule_name(work.rule, self.name), work.namespace)
        found = work.cluster.list("Deployment", work.namespace, labels=selector(self.name))
        ready = int((found[0].get("status") or {}).get("readyReplicas") or 0) if found else 0
        template = _digest(found[0]["spec"]["template"]) if found else None
        weight = (work.rule.weight(rule) or 0) if rule is not None else 0
        return Seen(weight, last_writer(rule), ready, template)

    def wait(self, until: float) -> None:
        """Wait until a second since the epoch, or until the view is asked for something."""
        while self.clock.now() < until:
            self.work.lease.check()
            self.wish = self.wish or self.set.view.wish()
            if self.wish is not None:
                return
            time.sleep(min(_TICK, max(0.0, until - self.clock.now())))

    def by_hand(self) -> str:
        """Return the kubectl command that takes the requests from the canary."""
        return self.work.rule.by_hand(rule_name(self.work.rule, self.name), self.work.namespace)

    def so_far(self) -> tuple[str, ...]:
        """Return the reasons of the last decision."""
        return self.decision.reasons if self.decision is not None else ()

    def tell_verdict(self, verdict: str) -> None:
        """Send a verdict with all that it rests on to whoever wants it."""
        rollout, decision = self.rollout, self.decision
        self.tell.verdict({
            "service": self.name, "namespace": self.work.namespace, "model": rollout.model,
            "verdict": verdict, "reasons": list(rollout.why) or list(self.so_far()),
            "weight": rollout.weight, "decision": decision.to_dict() if decision is not None else None,
        })  # fmt: skip


def _digest(template: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
