"""What is known of each metric: evidence beside its decision line, interval, and requests to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, log10

import numpy as np

from mlk8s.assess.evidence import kernel
from mlk8s.assess.evidence.decision import Claim, Evidence, MetricEvidence
from mlk8s.assess.evidence.intervals import intervals, quantiles
from mlk8s.assess.evidence.kernel import Array, Setup, Sums
from mlk8s.spec.analysis import Analysis

_LN10 = log(10)
MOST_TO_GO = 10_000_000


@dataclass(frozen=True)
class Look:
    """ln e-values by metric after a block: against each claim's opposite, and the most of them until now."""

    size: Array
    worse: Array
    gap: Array
    within: Array
    most_worse: Array
    most_gap: Array


def levels(analysis: Analysis) -> tuple[float, float]:
    """Return the share of alpha of each claim that rolls back, and of beta of each that promotes.

    A rollback needs one of them, so alpha is divided by their number (Bonferroni). A promotion needs all
    metrics: a version outside one bound is promoted only if that one errs, so each may spend the whole beta
    (an intersection-union test, Berger 1982).
    """
    claims = len(analysis.metrics) * (1 if analysis.margin is None else 2)
    return analysis.alpha / claims, analysis.beta


def split_words(analysis: Analysis) -> str:
    """Return how the error budgets are shared out."""
    against, within = levels(analysis)
    count = round(analysis.alpha / against)
    one = "the one claim" if count == 1 else f"each of the {count} claims"
    return (
        f"alpha {100 * analysis.alpha:g} % is split evenly: {100 * against:.3g} % for {one} that would roll "
        f"back; beta {100 * within:g} % for each metric, all of which a promotion needs"
    )


def known(
    analysis: Analysis,
    edges: Mapping[str, float],
    sums: Sums,
    look: Look,
    setup: Setup,
    histogram: tuple[Sequence[float], Sequence[int]],
) -> tuple[MetricEvidence, ...]:
    """Return what is known of each metric; `histogram` is (edges, the canary's right answers by bucket)."""
    against, for_it = levels(analysis)
    to_go = _to_go(sums, look, setup, log(1 / against), log(1 / for_it))
    lows, highs = intervals(sums.trials[0] / look.size, sums.trials[1] / look.size, against, for_it)
    latency = _latency(analysis, look, setup, against, *histogram)
    found = []
    for index, (name, bound) in enumerate(analysis.metrics.items()):
        bad, all_, stable_bad, stable_all = (float(item[index]) for item in sums.counts)
        size = float(look.size[index])
        evidence = [_evidence("worse than the SLO", look.worse[index], look.most_worse[index], against)]
        if analysis.margin is not None:
            evidence.append(_evidence("worse than stable", look.gap[index], look.most_gap[index], against))
        evidence.append(_evidence("within the SLO", look.within[index], look.within[index], for_it))
        found.append(
            MetricEvidence(
                name=name,
                bound=bound,
                latency_bound=edges.get(name),
                bad=round(bad),
                requests=round(all_),
                stable_bad=round(stable_bad),
                stable_requests=round(stable_all),
                estimate=bad / all_ if all_ else None,
                low=float(lows[index]),
                high=float(highs[index]),
                stable_estimate=stable_bad / stable_all if stable_all else None,
                levels=(against, for_it),
                burst=round(size, 3),
                evidence=tuple(evidence),
                to_go=to_go[index],
                latency=latency.get(name),
            )
        )
    return tuple(found)


def _latency(
    analysis: Analysis, look: Look, setup: Setup, level: float, edges: Sequence[float], counts: Sequence[int]
) -> dict[str, tuple[float, float | None]]:
    """Return the interval of each percentile; of whole blocks, or without buckets, nothing can be said."""
    names = list(analysis.slo.latency)
    if not names or setup.whole or len(counts) != len(edges) + 1:
        return {}
    shares = [1 - analysis.metrics[name] for name in names]
    return dict(zip(names, quantiles(edges, counts, shares, level, float(look.size.max())), strict=True))


def _evidence(claim: Claim, now: float, most: float, level: float) -> Evidence:
    line = log10(1 / level)
    return Evidence(claim, round(float(now) / _LN10, 4), round(line, 4), level, bool(most / _LN10 >= line))


def _to_go(sums: Sums, look: Look, setup: Setup, against: float, for_it: float) -> list[int | None]:
    """Return requests until the nearer line, if it goes on as until now (a quarter of the bound before)."""
    bad, all_ = sums.counts[0], sums.counts[1]
    rate = np.clip((bad + 0.25) / (all_ + 1 / setup.bound), 0.0, 1.0)
    if setup.whole:
        return [None] * len(rate)  # blocks decide, not requests
    gains = kernel.gain(setup, rate)
    stakes = kernel.stakes()
    found: list[int | None] = []
    for index in range(len(rate)):
        better = rate[index] < setup.bound[index]
        gain, stake, have, line = (
            (gains[1], stakes[1], sums.within, for_it)
            if better
            else (gains[0], stakes[0], sums.worse, against)
        )
        reached = (look.within if better else look.most_worse)[index] >= line
        size = float(look.size[index])
        each = gain[index] / size
        missing = line - np.log(stake) - have[index] / size
        with np.errstate(divide="ignore", invalid="ignore"):
            requests = np.where(each > 1e-12, np.maximum(missing, 0.0) / each, np.inf)
        least = float(np.min(requests))
        found.append(0 if reached else None if least > MOST_TO_GO else max(1, ceil(least)))
    return found
