"""Many rollouts at once, by the same statistics as the judge's: for benchmarks and rehearsals."""

from __future__ import annotations

import numpy as np

from mlk8s.assess.evidence import kernel
from mlk8s.assess.evidence.judge import look_at, setup_for
from mlk8s.assess.evidence.kernel import Array
from mlk8s.assess.evidence.known import levels
from mlk8s.assess.evidence.verdict import DOUBT
from mlk8s.spec.analysis import Analysis

WAITING, PROMOTE, ROLLBACK = 0, 1, 2
_LN10 = np.log(10)


class Batch:
    """Rollouts with steps, side by side; `max_harmed_requests` is not looked at.

    Args:
        analysis: with steps: what each of them has to show.
        replays: how many.

    Attributes:
        weight: percent of each one's canary, (replays,).
        verdict: WAITING, PROMOTE or ROLLBACK, (replays,).
        blocks: blocks until the verdict, (replays,).
    """

    def __init__(self, analysis: Analysis, replays: int) -> None:
        self.analysis = analysis
        self._setup = setup_for(analysis)
        shape = (replays, len(analysis.metrics))
        self._sums = kernel.empty(shape)
        self._most = np.full(shape, -np.inf), np.full(shape, -np.inf)
        against, for_it = levels(analysis)
        self._lines = np.log(1 / against), np.log(1 / for_it)
        self._steps = np.array([step.weight for step in analysis.steps])
        self._pauses = np.array([step.pause for step in analysis.steps])
        self._step = np.zeros(replays, int)
        self._held, self._seen = np.zeros(replays), np.zeros(replays)
        self.verdict = np.zeros(replays, int)
        self.blocks = np.zeros(replays, int)

    @property
    def weight(self) -> Array:
        return self._steps[self._step].astype(float)

    def add(self, canary: tuple[Array, Array], stable: tuple[Array, Array]) -> None:
        """Judge one block more of each: (bad, all) of either version, each (replays, metrics)."""
        self._sums = kernel.add(self._sums, self._setup, *canary, *stable)
        look = look_at(self._sums, self._setup, *self._most)
        self._most = look.most_worse, look.most_gap
        compared = self.analysis.margin is not None
        most = np.maximum(look.most_worse, look.most_gap) if compared else look.most_worse
        now = np.maximum(look.worse, look.gap) if compared else look.worse
        had = canary[1].max(axis=1) > 0
        seconds = np.where(had, self.analysis.block, 0.0)
        self._seen += seconds
        self._held += seconds
        doubt = (now >= DOUBT * _LN10).any(axis=1)
        back = (most >= self._lines[0]).any(axis=1)
        enough = (self._seen >= self.analysis.bake) & (self.weight >= self.analysis.promote_from)
        good = (look.within >= self._lines[1]).all(axis=1) & enough & ~doubt & ~back
        live = self.verdict == WAITING
        self.blocks[live] += 1
        self.verdict[live & back] = ROLLBACK
        self.verdict[live & good] = PROMOTE
        last = self._step >= len(self._steps) - 1
        on = ~last & ~doubt & had & (self._held >= self._pauses[self._step] - 1e-9)
        self._step[on] += 1
        self._held[on] = 0.0
