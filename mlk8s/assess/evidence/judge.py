"""The judge: a state and a block in, a state out; a decision at any time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlk8s.assess.evidence import kernel
from mlk8s.assess.evidence.blocks import Block, Counts
from mlk8s.assess.evidence.decision import Decision
from mlk8s.assess.evidence.kernel import Array, Sums
from mlk8s.assess.evidence.known import Look, known
from mlk8s.assess.evidence.verdict import verdict
from mlk8s.errors import UsageError
from mlk8s.series import REQUEST_BUCKETS
from mlk8s.spec.analysis import Analysis


@dataclass(frozen=True)
class State:
    """Everything that the judge knows: when it began, and the blocks until now.

    Attributes:
        started: second since the epoch at which the canary first got requests.
        blocks: all blocks, in order.
        weight: percent that the canary had in the last block.
    """

    started: float
    blocks: tuple[Block, ...]
    weight: int
    sums: Sums = field(repr=False, compare=False)
    look: Look = field(repr=False, compare=False)
    canary: Counts = field(default=Counts(), repr=False, compare=False)
    stable: Counts = field(default=Counts(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `Judge.restore` reads them."""
        return {"started": self.started, "blocks": [block.to_dict() for block in self.blocks]}


class Judge:
    """Judges one rollout.

    Args:
        analysis: what the canary has to show.
        edges: by percentile, the histogram's edge in seconds that its slow requests are counted at.
        buckets: all edges of the histogram in seconds: where blocks have buckets, quantiles get intervals.
    """

    def __init__(
        self,
        analysis: Analysis,
        *,
        edges: Mapping[str, float] | None = None,
        buckets: Sequence[float] = REQUEST_BUCKETS,
    ) -> None:
        self.analysis = analysis
        self._buckets = tuple(buckets)
        self.edges = dict(edges or analysis.slo.latency)
        self.setup = setup_for(analysis)
        self._names = tuple(analysis.metrics)

    def start(self, at: float) -> State:
        """Return the state before the first block; `at` in seconds since the epoch."""
        sums = kernel.empty((len(self._names),))
        none = np.full(len(self._names), -np.inf)
        return State(at, (), self.analysis.first_weight, sums, look_at(sums, self.setup, none, none))

    def step(self, state: State, block: Block) -> State:
        """Return the state after one more block.

        Raises:
            UsageError: the block begins before the last one ended.
        """
        last = state.blocks[-1].end if state.blocks else state.started - self.analysis.block
        if block.start < last - 1e-6:
            raise UsageError(
                f"a block begins at {block.start:.3f}, before the last one ended at {last:.3f}",
                where="Judge.step",
                expected="blocks in order that do not overlap",
            )
        blocks = (*state.blocks, block)
        if block.missing:
            return State(
                state.started, blocks, block.weight, state.sums, state.look, state.canary, state.stable
            )
        sums = kernel.add(state.sums, self.setup, *self._counts(block.canary), *self._counts(block.stable))
        look = look_at(sums, self.setup, state.look.most_worse, state.look.most_gap)
        return State(
            state.started,
            blocks,
            block.weight,
            sums,
            look,
            state.canary + block.canary,
            state.stable + block.stable,
        )

    def decide(
        self, state: State, now: float | None = None, queries: Mapping[str, str] | None = None
    ) -> Decision:
        """Return what to do now, and why.

        Args:
            now: second since the epoch; by default the last block's end.
            queries: what was asked of Prometheus, by name: kept in the decision.
        """
        at = now if now is not None else state.blocks[-1].end if state.blocks else state.started
        histogram = self._buckets, state.canary.buckets
        metrics = known(self.analysis, self.edges, state.sums, state.look, self.setup, histogram)
        return verdict(
            self.analysis,
            metrics,
            state.blocks,
            state.canary,
            state.stable,
            state.weight,
            state.started,
            at,
            queries,
        )

    def restore(self, values: Mapping[str, Any]) -> State:
        """Return the state that `State.to_dict` wrote: its blocks are judged again, with the same result."""
        state = self.start(float(values["started"]))
        for item in values["blocks"]:
            state = self.step(state, Block.from_dict(item))
        return state

    def _counts(self, counts: Counts) -> tuple[Array, Array]:
        pairs = [counts.of(name) for name in self._names]
        return np.array([bad for bad, _ in pairs], float), np.array([all_ for _, all_ in pairs], float)


def decide(blocks: Iterable[Block], analysis: Analysis, now: float | None = None) -> Decision:
    """Return the decision after all blocks, in one call.

    Raises:
        UsageError: there is no block, and no `now`.
    """
    judge = Judge(analysis)
    state = None
    for block in blocks:
        state = judge.step(judge.start(block.start) if state is None else state, block)
    if state is None and now is None:
        raise UsageError("there is no block", where="decide", expected="a block, or `now`")
    return judge.decide(judge.start(now or 0.0) if state is None else state, now)


def setup_for(analysis: Analysis) -> kernel.Setup:
    """Return the statistics' setup of an analysis."""
    bounds = list(analysis.metrics.values())
    margins = [(analysis.margin or 0.0) * bound for bound in bounds]
    blocks = int(np.ceil(analysis.deadline / analysis.block))
    return kernel.setup_of(bounds, margins, analysis.errors, analysis.burst, blocks)


def look_at(sums: Sums, setup: kernel.Setup, most_worse: Array, most_gap: Array) -> Look:
    """Return the evidence after a block, and the most that there ever was of it."""
    size, either = kernel.burst(sums, setup)
    worse, gap = kernel.worse(sums, size), kernel.gap(sums, setup, either)
    within = kernel.within(sums, size)
    return Look(size, worse, gap, within, np.maximum(most_worse, worse), np.maximum(most_gap, gap))
