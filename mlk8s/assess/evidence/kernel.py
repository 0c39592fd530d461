"""The statistics, as functions of arrays: one rollout's metrics, or a thousand rollouts at once, by the same
code.

Every array has any leading shape, here `...` (metrics, or replays × metrics); the last axis, where there is
one more, runs over the alternatives that are bet on. docs/canary-method.md has the formulas and the proofs.

Sources: betting e-processes, Waudby-Smith and Ramdas 2024 (JRSS B 86:1); mixtures of likelihood ratios,
Robbins 1970, Lindon and Malek 2022 (NeurIPS); two streams, Turner, Ly and Grünwald 2024 (Journal of
Statistical Planning and Inference 230).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlk8s.spec.analysis import ASSUMED_BURST, Errors

Array = NDArray[np.float64]

# Odds of the alternatives, as multiples of the bound's odds, and the share of the stake on each.
_WORSE = np.array([1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 40.0, 200.0])
_WORSE_STAKE = np.array([0.10, 0.16, 0.20, 0.22, 0.14, 0.09, 0.06, 0.03])
_WITHIN = np.array([0.0, 0.08, 0.18, 0.32, 0.55])
_WITHIN_STAKE = np.array([0.14, 0.20, 0.34, 0.22, 0.10])
# By how many bounds the canary is worse than the stable version, and the share of the stake on each.
_GAP = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 50.0])
_GAP_STAKE = np.array([0.08, 0.16, 0.22, 0.24, 0.16, 0.09, 0.05])
# Shares of the largest bet on a difference of block means.
_BETS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95])

MOST_STARTS = 40
"""Moments at which a change may begin: evidence is gathered from each of them on."""
_FIRST_STAKE = 0.7
_NOISE = 2.0
"""Standard deviations of clustering by chance that are not taken for clusters."""

_PRIOR = 0.25
"""Blocks with failures that the assumed size of clusters is worth; the first one tells nothing: many failures
in it may be one cluster or a high rate."""
_CARRIED = 3.0
"""Clusters of both versions count as they are up to this many times the size that was assumed; larger ones of
the stable version, which come with its larger blocks, by their correlation only."""


@dataclass(frozen=True)
class Setup:
    """What is fixed for a rollout: shapes broadcast against the metrics.

    Attributes:
        bound: largest accepted share of bad requests, (metrics,).
        margin: by how much the canary's share may be above the stable one's, (metrics,).
        whole: bet on the means of blocks: all requests of one may share a fate.
        adaptive: learn from the blocks how many requests count as one.
        burst: how many do, or are assumed to before the blocks tell.
        spacing: blocks between the moments at which a change may begin.
    """

    bound: Array
    margin: Array
    whole: bool
    adaptive: bool
    burst: float
    spacing: int


@dataclass
class Clusters:
    """Sums over blocks of one version, k of n bad in each: they tell whether bad requests come together."""

    pairs: Array  # Σ k(k-1)
    room: Array  # Σ n(n-1)
    hits: Array  # Σ 1/k over blocks with bad requests: one alone tells most


@dataclass
class Sums:
    """Everything that is kept of the blocks. `counts` is (bad, all, stable bad, stable all)."""

    counts: tuple[Array, Array, Array, Array]
    trials: tuple[
        Array, Array
    ]  # (bad, all) of the canary in units of the evidence: requests, or whole blocks
    worse: Array
    within: Array
    gap: Array
    starts: list[tuple[Array, Array]]  # (worse, gap) when each start came
    canary: Clusters
    stable: Clusters
    blocks: int


def empty(shape: tuple[int, ...]) -> Sums:
    """Return the sums of no block; `shape` ends with the number of metrics."""

    def zeros(*more: int) -> Array:
        return np.zeros((*shape, *more))

    return Sums(
        (zeros(), zeros(), zeros(), zeros()),
        (zeros(), zeros()),
        zeros(len(_WORSE)),
        zeros(len(_WITHIN)),
        zeros(len(_GAP)),
        [],
        Clusters(zeros(), zeros(), zeros()),
        Clusters(zeros(), zeros(), zeros()),
        0,
    )


def add(sums: Sums, setup: Setup, bad: Array, all_: Array, stable_bad: Array, stable_all: Array) -> Sums:
    """Return the sums with one block more; arguments are counts, each (...)."""
    starts = sums.starts
    if sums.blocks % setup.spacing == 0 and len(starts) < MOST_STARTS:
        starts = [*starts, (sums.worse, sums.gap)]
    counts = sums.counts
    canary, stable = (bad, all_), (stable_bad, stable_all)
    alone = np.where(all_ > 0, bad / np.maximum(all_, 1), 0.0), (all_ > 0).astype(float)
    trials = alone if setup.whole else canary
    return Sums(
        (counts[0] + bad, counts[1] + all_, counts[2] + stable_bad, counts[3] + stable_all),
        (sums.trials[0] + trials[0], sums.trials[1] + trials[1]),
        sums.worse + _bet(_rates(setup.bound, _WORSE), setup.bound, trials, setup.whole),
        sums.within + _bet(_rates(setup.bound, _WITHIN), setup.bound, trials, setup.whole),
        sums.gap
        + (_gap_of_means(setup, canary, stable) if setup.whole else _gap(setup, counts, canary, stable)),
        starts,
        _gather(sums.canary, bad, all_),
        _gather(sums.stable, stable_bad, stable_all),
        sums.blocks + 1,
    )


def burst(sums: Sums, setup: Setup) -> tuple[Array, Array]:
    """Return how many requests count as one, 1 where each fails by itself: (of the canary, of either).

    With 'adaptive' it begins at what was assumed, and each block with failures moves it towards what
    the blocks show; clusters of the canary itself, and the stable version's intra-block correlation, count in
    full.
    """
    bad, all_, stable_bad, stable_all = sums.counts
    if not setup.adaptive:
        same = np.full(np.shape(bad), setup.burst)
        return same, same
    canary, stable = sums.canary, sums.stable
    extra, others = _extra(canary, bad, all_), _extra(stable, stable_bad, stable_all)
    size, stable_size = _beside(canary, all_), _beside(stable, stable_all)
    alone = others / np.maximum(stable_bad, 1)
    found = np.maximum(extra / np.maximum(bad, 1), alone * size / np.maximum(stable_size, 1))
    assumed = setup.burst - 1
    told = np.maximum(canary.hits + stable.hits - 1, 0.0)
    pooled = (extra + others) / np.maximum(bad + stable_bad, 1) + assumed * _PRIOR / (told + _PRIOR)
    found = np.maximum(found, np.minimum(pooled, _CARRIED * assumed))
    mine = 1 + np.minimum(found, size)
    return mine, np.maximum(mine, 1 + np.minimum(alone, stable_size))


def worse(sums: Sums, size: Array) -> Array:
    """Return ln of the e-value against "the canary keeps the bound", (...); `size` from `burst`."""
    return _over_starts(sums.worse, [start[0] for start in sums.starts], _WORSE_STAKE, size)


def gap(sums: Sums, setup: Setup, size: Array) -> Array:
    """Return ln of the e-value against "the canary is at most `margin` worse than stable", (...)."""
    stake = np.full(len(_BETS), 1 / len(_BETS)) if setup.whole else _GAP_STAKE
    return _over_starts(sums.gap, [start[1] for start in sums.starts], stake, size)


def within(sums: Sums, size: Array) -> Array:
    """Return ln of the e-value against "the canary breaks the bound", (...)."""
    return _mixed(sums.within / size[..., None] + np.log(_WITHIN_STAKE))


def above(bad: Array, all_: Array, share: Array) -> Array:
    """Return ln of the e-value against "the true share is at most `share`", (...), from totals."""
    bets = _bet(_rates(share, _WORSE), share, (bad, all_), False)
    return _mixed(bets + np.log(_FIRST_STAKE * _WORSE_STAKE))


def below(bad: Array, all_: Array, share: Array) -> Array:
    """Return ln of the e-value against "the true share is at least `share`", (...), from totals."""
    return _mixed(_bet(_rates(share, _WITHIN), share, (bad, all_), False) + np.log(_WITHIN_STAKE))


def gain(setup: Setup, rate: Array) -> tuple[Array, Array]:
    """Return ln e-value that one request adds at a true share `rate`, by alternative: worse, within."""
    one = np.ones_like(rate)
    return (
        _bet(_rates(setup.bound, _WORSE), setup.bound, (rate, one), False),
        _bet(_rates(setup.bound, _WITHIN), setup.bound, (rate, one), False),
    )


def stakes() -> tuple[Array, Array]:
    """Return the shares of the stake on the alternatives: worse (from the start on), within."""
    return _FIRST_STAKE * _WORSE_STAKE, _WITHIN_STAKE


def _rates(bound: Array, odds: Array) -> Array:
    scaled = odds * (bound / (1 - bound))[..., None]
    return scaled / (1 + scaled)


def _bet(rate: Array, bound: Array, trials: tuple[Array, Array], whole: bool) -> Array:
    """Return ln of the likelihood ratio of `rate` against `bound`; of whole blocks the bet on the block's
    mean, 1 + λ(Y - bound), which needs nothing of the requests inside it."""
    bad, all_ = trials[0][..., None], trials[1][..., None]
    bound = bound[..., None]
    up, down = rate / bound, (1 - rate) / (1 - bound)
    if whole:
        return np.log(np.maximum(np.where(all_ > 0, bad * up + (1 - bad) * down, 1.0), 1e-300))
    with np.errstate(divide="ignore"):
        lost = np.where(bad > 0, bad * np.maximum(np.log(up), -1e6), 0.0)
    return lost + (all_ - bad) * np.log(down)


def _gap(
    setup: Setup,
    counts: tuple[Array, Array, Array, Array],
    canary: tuple[Array, Array],
    stable: tuple[Array, Array],
) -> Array:
    """Return ln of one block's e-variable for "canary ≤ stable + margin": each request x of the canary counts
    1 + g(x - c), each y of stable 1 - g(n/m)(y - s), with c = s + margin. Its mean is at most 1 for any
    common cause that moves both rates from block to block, whatever s and g the past chose."""
    bad, all_, stable_bad, stable_all = (item[..., None] for item in (*canary, *stable))
    bound, margin = setup.bound[..., None], setup.margin[..., None]
    base = ((counts[2] + 0.25) / (counts[3] + 1 / setup.bound))[
        ..., None
    ]  # a quarter of the bound before data
    both = (all_ > 0) & (stable_all > 0)
    ratio = np.where(both, all_ / np.maximum(stable_all, 1), 1.0)
    target = np.minimum(base + margin + _GAP * bound, 0.5 * (1 + base + margin))
    rate = np.clip((ratio * (target - margin) + base) / (1 + ratio), 1e-12, None)
    rate = np.minimum(rate, (1 - margin) * (1 - 1e-9))
    mine = rate + margin
    slope = np.clip((target - mine) / (mine * (1 - mine)), 0.0, None)
    slope = np.minimum(slope, 0.999 / (ratio * (1 - rate)))
    slope = np.minimum(slope, 0.999 / mine)
    lean = slope * ratio
    value = (
        bad * np.log1p(slope * (1 - mine))
        + (all_ - bad) * np.log1p(-slope * mine)
        + stable_bad * np.log1p(-lean * (1 - rate))
        + (stable_all - stable_bad) * np.log1p(lean * rate)
    )
    return np.where(both, value, 0.0)


def _gap_of_means(setup: Setup, canary: tuple[Array, Array], stable: tuple[Array, Array]) -> Array:
    """Return ln of the bet on the difference of two block means, 1 + g(Y - Z - margin)."""
    both = (canary[1] > 0) & (stable[1] > 0)
    mine = canary[0] / np.maximum(canary[1], 1)
    other = stable[0] / np.maximum(stable[1], 1)
    bets = _BETS / (1 + setup.margin)[..., None]
    value = np.log1p(bets * (mine - other - setup.margin)[..., None])
    return np.where(both[..., None], value, 0.0)


def _over_starts(now: Array, starts: list[Array], stake: Array, size: Array) -> Array:
    """Mix over the moments at which a change may have begun; those still to come keep their stake."""
    later = (1 - _FIRST_STAKE) / (MOST_STARTS - 1)
    shares = np.full(MOST_STARTS, later)
    shares[0] = _FIRST_STAKE
    if not starts:
        return np.zeros(np.shape(size))
    begun = np.stack(starts, axis=-2)  # (..., starts, alternatives)
    grown = (now[..., None, :] - begun) / size[..., None, None] + np.log(stake)
    grown = _mixed(grown) + np.log(shares[: len(starts)])
    rest = max(0.0, 1 - float(shares[: len(starts)].sum()))
    if rest <= 1e-12:
        return _mixed(grown)
    waiting = np.full((*np.shape(size), 1), np.log(rest))
    return _mixed(np.concatenate([grown, waiting], axis=-1))


def _mixed(logs: Array) -> Array:
    """ln Σ exp over the last axis."""
    most = np.max(logs, axis=-1)
    return np.asarray(most + np.log(np.sum(np.exp(logs - most[..., None]), axis=-1)))


def _gather(clusters: Clusters, bad: Array, all_: Array) -> Clusters:
    return Clusters(
        clusters.pairs + bad * (bad - 1),
        clusters.room + all_ * (all_ - 1),
        clusters.hits + (bad > 0) / np.maximum(bad, 1),
    )


def _beside(clusters: Clusters, all_: Array) -> Array:
    """Return how many requests are beside one in its block, on the average over requests."""
    return clusters.room / np.maximum(all_, 1)


def _extra(clusters: Clusters, bad: Array, all_: Array) -> Array:
    """Return the pairs of bad requests in one block beyond those of independent ones and their noise."""
    expected = clusters.room * bad * (bad - 1) / np.maximum(all_ * (all_ - 1), 1)
    return np.maximum(clusters.pairs - expected - _NOISE * np.sqrt(2 * expected), 0.0)


def setup_of(bounds: Any, margins: Any, errors: Errors, burst: int | None, blocks: int) -> Setup:
    """Return the setup of an analysis with `blocks` blocks until its deadline; `errors` and `burst` as in
    Analysis."""
    return Setup(
        np.asarray(bounds, float),
        np.asarray(margins, float),
        whole=errors == "correlated" and burst is None,
        adaptive=errors == "adaptive",
        burst=float(burst or (ASSUMED_BURST if errors == "adaptive" else 1)),
        spacing=max(1, -(-blocks // MOST_STARTS)),
    )
