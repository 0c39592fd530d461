"""A policy rehearsed on recorded counts: what it would have decided, had a version been worse by so much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from mlk8s.assess.evidence.blocks import Block, Counts
from mlk8s.assess.evidence.judge import Judge
from mlk8s.assess.evidence.rivals import Rule
from mlk8s.errors import UsageError
from mlk8s.spec.analysis import Analysis

_LEAST_BLOCKS = 6


@dataclass(frozen=True)
class Regression:
    """What is put on top of the recorded behaviour.

    Attributes:
        name: for tables.
        errors: share of the canary's requests that fail in addition, 0 to 1.
        slow: share of its right answers that are slower than every bound in addition, 0 to 1.
        after: seconds from the start until it begins.
    """

    name: str
    errors: float = 0.0
    slow: float = 0.0
    after: float = 0.0


NONE = Regression("as recorded")
REGRESSIONS = (
    NONE,
    Regression("2 % fail", errors=0.02),
    Regression("5 % fail", errors=0.05),
    Regression("10 % slow", slow=0.1),
)


@dataclass(frozen=True)
class Rehearsed:
    """What a policy made of one kind of version.

    Attributes:
        policy: 'evidence', or the rule's name.
        regression: what was injected.
        bad: whether that breaks the SLO: the recorded rates with the injected ones on top.
        replays: how often it was rehearsed.
        promoted, rolled_back, inconclusive: shares of the replays.
        wrong_promotions, wrong_rollbacks: shares that were promoted although bad, rolled back although not.
        seconds: median time until the verdict.
        delay: median seconds from the regression's start to the rollback; None where none was rolled back.
        requests: median canary requests until the verdict.
        harmed: mean requests that failed or were slow in addition, until the verdict.
    """

    policy: str
    regression: Regression
    bad: bool
    replays: int
    promoted: float
    rolled_back: float
    inconclusive: float
    seconds: float
    delay: float | None
    requests: float
    harmed: float

    @property
    def wrong_promotions(self) -> float:
        return self.promoted if self.bad else 0.0

    @property
    def wrong_rollbacks(self) -> float:
        return 0.0 if self.bad else self.rolled_back

    def __str__(self) -> str:
        kind = "bad" if self.bad else "within the SLO"
        delay = "" if self.delay is None else f", noticed after {self.delay / 60:.1f} min"
        return (
            f"{self.policy}, {self.regression.name} ({kind}): {100 * self.promoted:.3g} % promoted, "
            f"{100 * self.rolled_back:.3g} % rolled back, {100 * self.inconclusive:.3g} % inconclusive; "
            f"median {self.seconds / 60:.1f} min and {self.requests:,.0f} requests{delay}; "
            f"{self.harmed:.1f} harmed on average"
        )


@dataclass(frozen=True)
class _Run:
    end: str
    seconds: float
    requests: int
    harmed: int


@dataclass
class _Traffic:
    """Deals recorded requests out to canary and stable without replacement: what failed together in a block
    still does."""

    history: Sequence[Block]
    metrics: Sequence[str]
    regression: Regression
    rng: np.random.Generator
    at: int
    harmed: int = 0
    seconds: float = field(default=0.0)

    def next(self, weight: int) -> Block:
        """Return the next block; the history goes on at its beginning where it ends."""
        recorded = self.history[self.at % len(self.history)]
        self.at += 1
        start, self.seconds = self.seconds, self.seconds + recorded.seconds
        if recorded.missing:
            return Block(start, recorded.seconds, weight, notes=recorded.notes, missing=True)
        both = recorded.canary + recorded.stable
        share = int(self.rng.binomial(both.requests, weight / 100))
        errors = self._dealt(both.errors, both.requests, share)
        right = share - errors
        slow = {
            name: self._dealt(both.slow.get(name, 0), both.requests - both.errors, right)
            for name in self.metrics
        }
        stable = Counts(
            both.requests - share,
            both.errors - errors,
            {name: both.slow.get(name, 0) - slow[name] for name in slow},
        )
        canary = Counts(share, errors, slow)
        if start >= self.regression.after:
            canary = self._worse(canary)
        return Block(start, recorded.seconds, weight, canary, stable)

    def _dealt(self, bad: int, all_: int, mine: int) -> int:
        if not bad or not mine:
            return 0
        return int(self.rng.hypergeometric(bad, all_ - bad, min(mine, all_)))

    def _worse(self, counts: Counts) -> Counts:
        failed = int(self.rng.binomial(counts.requests - counts.errors, self.regression.errors))
        kept = counts.requests - counts.errors - failed
        slow = {}
        late = int(self.rng.binomial(kept, self.regression.slow))
        for name, value in counts.slow.items():
            # Requests that fail in addition are taken from quick and slow ones alike.
            left = value - self._dealt(value, counts.requests - counts.errors, failed)
            slow[name] = min(kept, left + late - self._dealt(left, kept, late))
        self.harmed += failed + late
        return Counts(counts.requests, counts.errors + failed, slow)


def rehearse(
    history: Sequence[Block],
    analysis: Analysis,
    *,
    regressions: Sequence[Regression] = REGRESSIONS,
    rules: Sequence[Rule] = (),
    replays: int = 100,
    seed: int = 1,
) -> list[Rehearsed]:
    """Replay recorded counts through a policy, and through other tools' rules beside it.

    Each replay begins at a random block; the weight is the policy's own, so that each sees its own canary.

    Args:
        history: blocks of `analysis.block` seconds; both versions' counts together are the traffic.
        analysis: the policy.
        regressions: what is injected, one after the other.
        rules: of Flagger or Argo, from `read_rule`.
        replays: of each regression and policy.
        seed: the same seed gives the same numbers.

    Raises:
        UsageError: the history is too short, has no requests, or other blocks than the analysis.
    """
    _check(history, analysis)
    metrics = tuple(analysis.slo.latency)
    found = []
    for regression in regressions:
        bad = _breaks(history, analysis, regression)
        policies: list[Rule | None] = [None, *rules]
        for policy in policies:
            rng = np.random.default_rng(seed)
            runs = []
            for _ in range(replays):
                at = int(rng.integers(len(history)))
                traffic = _Traffic(history, metrics, regression, rng, at)
                runs.append(
                    _by_evidence(traffic, analysis) if policy is None else _by_rule(traffic, policy, analysis)
                )
            found.append(_summed("evidence" if policy is None else policy.name, regression, bad, runs))
    return found


def _by_evidence(traffic: _Traffic, analysis: Analysis) -> _Run:
    judge = Judge(analysis)
    state = judge.start(0.0)
    weight = analysis.first_weight
    while True:
        state = judge.step(state, traffic.next(weight))
        decision = judge.decide(state)
        if decision.final:
            return _Run(decision.verdict, decision.elapsed, decision.requests, traffic.harmed)
        weight = decision.weight


def _by_rule(traffic: _Traffic, rule: Rule, analysis: Analysis) -> _Run:
    rule = rule.fresh()
    requests, looks = 0, round(rule.interval / analysis.block)
    while traffic.seconds < analysis.deadline:
        window = Counts()
        for _ in range(max(1, looks)):
            window = window + traffic.next(rule.weight).canary
        requests += window.requests
        end = rule.look(window)
        if end:
            return _Run(end, traffic.seconds, requests, traffic.harmed)
    return _Run("inconclusive", traffic.seconds, requests, traffic.harmed)


def _summed(policy: str, regression: Regression, bad: bool, runs: Sequence[_Run]) -> Rehearsed:
    count = len(runs)
    share = {
        end: sum(run.end == end for run in runs) / count for end in ("promote", "rollback", "inconclusive")
    }
    delays = [max(0.0, run.seconds - regression.after) for run in runs if run.end == "rollback"]
    return Rehearsed(
        policy=policy,
        regression=regression,
        bad=bad,
        replays=count,
        promoted=share["promote"],
        rolled_back=share["rollback"],
        inconclusive=share["inconclusive"],
        seconds=median(run.seconds for run in runs),
        delay=median(delays) if delays and bad else None,
        requests=median(run.requests for run in runs),
        harmed=sum(run.harmed for run in runs) / count,
    )


def _breaks(history: Sequence[Block], analysis: Analysis, regression: Regression) -> bool:
    """Tell whether the recorded rates with the injected ones on top break a bound."""
    total = sum((block.canary + block.stable for block in history), Counts())
    for name, bound in analysis.metrics.items():
        bad, all_ = total.of(name)
        added = regression.errors if name == "errors" else regression.slow
        rate = bad / max(all_, 1)
        if 1 - (1 - rate) * (1 - added) > bound:
            return True
    return False


def _check(history: Sequence[Block], analysis: Analysis) -> None:
    lengths = {round(block.seconds, 6) for block in history}
    problem: dict[str, Any] = {
        "where": "rehearse",
        "next_step": "record a longer range, or change Analysis.block",
    }
    if len(history) < _LEAST_BLOCKS:
        raise UsageError(
            f"the history has {len(history)} blocks", expected=f"{_LEAST_BLOCKS} or more", **problem
        )
    if lengths != {round(analysis.block, 6)}:
        found = ", ".join(f"{length:g} s" for length in sorted(lengths))
        raise UsageError(
            f"the history has blocks of {found}", expected=f"blocks of {analysis.block:g} s", **problem
        )
    if not any(block.canary.requests + block.stable.requests for block in history):
        raise UsageError("the history has no requests", expected="requests of the service", **problem)
