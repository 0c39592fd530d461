"""Confidence sequences: intervals that hold at all times together, however often they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

_HALF = 0.5
"""Both parameters of the Beta mixture (Jeffreys): no rate is favoured by much."""


def interval(bad: float, all_: float, level: float) -> tuple[float, float]:
    """Return (low, high) of a share from counts, at confidence 1 - level at all times together.

    All shares against which a Beta(½, ½) mixture of likelihood ratios has an e-value below 1 / level
    (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, Annals of Statistics 49:2). Counts may be
    fractions: those of clusters that count as one.

    Args:
        bad: bad requests, 0 to `all_`.
        all_: requests.
        level: 0 to 1, both ends excluded.
    """
    if all_ <= 0:
        return 0.0, 1.0
    good = all_ - bad
    mixture = _ln_beta(bad + _HALF, good + _HALF) - _ln_beta(_HALF, _HALF)
    line = log(1 / level)

    def outside(share: float) -> bool:
        likelihood = (bad * log(share) if bad else 0.0) + (good * log(1 - share) if good else 0.0)
        return mixture - likelihood >= line

    middle = min(max(bad / all_, 1e-12), 1 - 1e-12)
    low = _edge(outside, 1e-12, middle) if bad > 0 else 0.0
    high = _edge(outside, 1 - 1e-12, middle) if good > 0 else 1.0
    return low, high


def quantile(
    edges: Sequence[float], counts: Sequence[int], share: float, level: float, burst: float = 1.0
) -> tuple[float, float | None]:
    """Return (low, high) of a latency quantile in seconds, at confidence 1 - level at all times together.

    "The p-quantile is above t" says the same as "more than 1 - p exceed t": each edge of the histogram has a
    confidence sequence of its own, and because counts above growing edges are nested, only the edge next to
    the true quantile can err, one on each side; the level needs no division by their number.

    Args:
        edges: upper bounds of the buckets in seconds, ascending, without infinity.
        counts: requests in each bucket, not cumulative, one more than edges: the last is above all edges.
        share: 0.99 for p99.
        burst: requests that count as one.

    Returns:
        low: 0 where nothing is known; high: None where it may be above the last edge.
    """
    total = sum(counts)
    low, high = 0.0, None
    above = total
    for edge, count in zip(edges, counts, strict=False):
        above -= count
        least, most = interval(above / burst, total / burst, level)
        if least > 1 - share:
            low = edge
        if high is None and most <= 1 - share:
            high = edge
    return low, high


def _edge(outside: object, far: float, near: float) -> float:
    assert callable(outside)
    if not outside(far):
        return 0.0 if far < near else 1.0
    for _ in range(60):
        middle = (far + near) / 2
        if outside(middle):
            far = middle
        else:
            near = middle
        if abs(far - near) < 1e-9:
            break
    return far


def _ln_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
