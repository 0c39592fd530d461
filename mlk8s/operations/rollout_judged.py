"""A rollout that is judged block by block: what is known of it, and how it is written down.

A canary's and a blue/green service's are judged alike; what is done about them differs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mlk8s.assess.evidence import Block, Cursor, Decision, Judge, State, slo_edges
from mlk8s.assess.evidence.words import duration_words
from mlk8s.assess.rollout_words import Progress
from mlk8s.clients.clock import Clock
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.prometheus import Prometheus
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_counts import Counts
from mlk8s.operations.lease import OperatorLease
from mlk8s.operations.rollout_state import Packed, Request, Rollout, Wish
from mlk8s.operations.rollout_tell import Teller
from mlk8s.spec.analysis import Analysis

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlk8s.operations.rollout_view import View

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


class Work(Protocol):
    """An operation on one service, under its Lease."""

    cluster: Cluster
    name: str
    namespace: str
    lease: OperatorLease
    say: Callable[[str], None]


class JudgedRollout:
    """One rollout under the Lease of its process.

    Attributes:
        rollout: as it is, or is about to be, written down.
        notes: what a user should know of the SLO's bounds.
        state, decision: the evidence, and what was decided on it last.
        end_of_block: second since the epoch at which the last block ended.
        wish: what the view was asked for, and is not answered yet.

    Args:
        pods: names of the Deployments of the new and of the old version.
    """

    def __init__(self, work: Work, settings: Settings, rollout: Rollout, pods: tuple[str, str]) -> None:
        self.lease, self.cluster, self.namespace = work.lease, work.cluster, work.namespace
        self.set, self.rollout, self._say = settings, rollout, work.say
        self.name, self.tell, self.clock = work.name, settings.teller, settings.clock
        self.decision: Decision | None = None
        self.wish: Wish | None = None
        self.analysis = Analysis(**rollout.analysis)
        self.edges, self.notes = slo_edges(self.analysis.slo)
        self.judge = Judge(self.analysis, edges=self.edges)
        self.counts = Counts(
            settings.prometheus, self.name, work.namespace, self.edges, self.analysis.block, pods=pods
        )
        self.state: State = self.judge.start(self.clock.now())
        self.end_of_block = self.state.started

    def say(self, text: str) -> None:
        """Say a line about this service."""
        self._say(f"{self.name}: {text}")

    def note(self, **changes: Any) -> None:
        """Take note of changes; the next write has them."""
        self.rollout = replace(self.rollout, **changes)

    def write(self, *, packed: bool = False) -> Request | None:
        """Write the rollout down, with its blocks where `packed`; return what another process asks."""
        self.lease.check()
        more = None
        if packed:
            cursor = self.counts.cursor
            more = Packed(self.state.to_dict(), cursor.to_dict() if cursor is not None else None)
        return rollout_state.write(self.cluster, self.name, self.namespace, self.rollout, more)

    def count_anew(self) -> None:
        """Begin to count anew, now."""
        self.state = self.judge.start(round(self.clock.now(), 3))
        self.end_of_block = self.state.started

    def restore(self, packed: Packed) -> None:
        """Judge again what the cluster has of the blocks before."""
        if packed.state is None:
            raise AssertionError("only a rollout with blocks is restored")
        state, decided = self.judge.start(float(packed.state["started"])), []
        for item in packed.state["blocks"]:
            state = self.judge.step(state, Block.from_dict(item))
            decided.append(self.judge.decide(state, queries=self.queries))
        self.state = state
        self.end_of_block = state.blocks[-1].end if state.blocks else state.started
        self.counts.cursor = Cursor.from_dict(packed.cursor) if packed.cursor else None
        self.tell.begin(self.analysis, state, self.edges, decided)
        away = self.clock.now() - self.end_of_block
        self.say(f"{len(state.blocks)} blocks are known; nobody looked for {duration_words(away)}")

    def block_end(self) -> float:
        """Return when the block that is due ends: later than its length where nobody looked meanwhile."""
        start, length, now = self.end_of_block, self.analysis.block, self.clock.now()
        return start + length if now < start + 2 * length else now

    def count(self, end: float, weight: int) -> tuple[Decision, str | None]:
        """Count the block up to `end` and decide on it; return it, and why nothing was told."""
        start = self.end_of_block
        block, cause = self.counts.block(round(start, 3), round(end - start, 3), weight)
        self.end_of_block = round(start, 3) + round(end - start, 3)
        self.state = self.judge.step(self.state, block)
        self.decision = self.judge.decide(self.state, queries=self.queries)
        self.note(decision=self.decision.to_dict())
        self.tell.block(weight, block, self.decision)
        return self.decision, cause

    def show(self, weight: int, blind: str | None) -> None:
        """Show the last block."""
        if self.decision is None:
            raise AssertionError("what is shown was decided on")
        model, held, block = self.rollout.model, self.rollout.held, self.state.blocks[-1]
        self.set.view.show(Progress(self.name, model, weight, block, self.decision, held, blind))

    def wait(self, until: float) -> None:
        """Wait until a second since the epoch, or until the view is asked for something."""
        while self.clock.now() < until:
            self.lease.check()
            self.wish = self.wish or self.set.view.wish()
            if self.wish is not None:
                return
            time.sleep(min(_TICK, max(0.0, until - self.clock.now())))

    def so_far(self) -> tuple[str, ...]:
        """Return the reasons of the last decision."""
        return self.decision.reasons if self.decision is not None else ()

    def tell_verdict(self, verdict: str) -> None:
        """Send a verdict with all that it rests on to whoever wants it."""
        rollout, decision = self.rollout, self.decision
        self.tell.verdict({
            "service": self.name, "namespace": self.namespace, "model": rollout.model,
            "verdict": verdict, "reasons": list(rollout.why) or list(self.so_far()),
            "weight": rollout.weight, "decision": decision.to_dict() if decision is not None else None,
        })  # fmt: skip

    @property
    def queries(self) -> dict[str, str]:
        """What Prometheus is asked, for the record."""
        return {"requests": self.counts.selector, "unanswered": self.counts.ingress}
