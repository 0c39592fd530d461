"""Watching a rollout that any process works on: what the cluster holds of it, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlk8s.assess.evidence import Block, Judge, Record, slo_edges
from mlk8s.assess.rollout_words import Progress, status_lines
from mlk8s.clients.clock import Clock
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import UsageError
from mlk8s.operations import rollout_state
from mlk8s.operations.lease import operator_name
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.spec.analysis import Analysis

if TYPE_CHECKING:
    from mlk8s.operations.canary_run import View
    from mlk8s.report.picture import Picture

Say = Callable[[str], None]
_TICK = 0.2


@dataclass(frozen=True)
class Watched:
    """A rollout as it was when the watching ended; a notebook shows it as a picture.

    Attributes:
        service: its service.
        rollout: what was written down.
        record: its blocks and decisions; None where it ended before the first block.
    """

    service: str
    rollout: Rollout
    record: Record | None

    @cached_property
    def _picture(self) -> Picture | None:
        from mlk8s.report.evidence import draw_evidence

        if self.record is None or not self.record.entries:
            return None
        title = f"{self.service}: {self.rollout.model} {self.rollout.outcome or 'goes on'}"
        return draw_evidence(self.record, title=title)

    def picture(self) -> Picture:
        """Return weight, requests, intervals and evidence over time as a static picture.

        Raises:
            UsageError: there is no block to draw.
        """
        if self._picture is None:
            raise UsageError(f"the rollout of {self.service} has no block to draw")
        return self._picture

    def __str__(self) -> str:
        from dataclasses import asdict

        return "\n".join([f"{self.service}:", *status_lines(asdict(self.rollout), self.rollout.by)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self._picture is None:
            return {"text/plain": str(self)}
        return self._picture._repr_mimebundle_(**options)


def watch(
    cluster: Cluster,
    name: str,
    namespace: str,
    view: View,
    *,
    seconds: float | None = None,
    alive: Callable[[], None] | None = None,
    say: Say = print,
) -> Watched:
    """Show a rollout block by block until it ends, and hand on what the view is asked for.

    Args:
        view: what shows it; the wishes of its buttons are written down for the process that works on it.
        seconds: ends the watching, not the rollout; None watches to its end.
        alive: called at each look; what it raises ends the watching.

    Raises:
        UsageError: the service had no analysed rollout.
    """
    clock = Clock()
    end = None if seconds is None else clock.now() + seconds
    shown = 0
    try:
        while True:
            found = rollout_state.read_all(cluster, name, namespace)
            if found is None:
                rollout_state.require(None, name, namespace)
                raise AssertionError("there is none, and it was refused")
            rollout, packed = found
            record = record_of(rollout, packed)
            entries = record.entries if record is not None else ()
            for block, decision in entries[shown:]:
                view.show(Progress(name, rollout.model, rollout.weight, block, decision, rollout.held))
            shown = len(entries) if len(entries) >= shown else 0  # fewer: the evidence began anew
            if rollout.ended or (end is not None and clock.now() >= end):
                return Watched(name, rollout, record)
            if alive is not None:
                alive()
            pause = clock.now() + Analysis(**rollout.analysis).block / 2
            while clock.now() < pause and (end is None or clock.now() < end):
                wish = view.wish()
                if wish is not None:
                    rollout_state.ask(cluster, name, namespace, wish, operator_name())
                    say(f"{name}: asked: {wish}; it is seen with the next block")
                time.sleep(_TICK)
    finally:
        view.end(None)


def record_of(rollout: Rollout, packed: Packed) -> Record | None:
    """Return the blocks that a rollout has in the cluster, judged again."""
    if packed.state is None:
        return None
    analysis = Analysis(**rollout.analysis)
    edges, _ = slo_edges(analysis.slo)
    judge = Judge(analysis, edges=edges)
    state, entries = judge.start(float(packed.state["started"])), []
    for item in packed.state["blocks"]:
        block = Block.from_dict(item)
        state = judge.step(state, block)
        entries.append((block, judge.decide(state)))
    return Record(analysis, float(packed.state["started"]), tuple(entries), edges)
