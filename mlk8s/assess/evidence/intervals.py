"""Confidence sequences: intervals that hold at all times together, however often they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_HALF = 0.5
"""Both parameters of the Beta mixture (Jeffreys): no rate is favoured by much."""
_LEAST = 1e-12
_ROUNDS = 40
"""Bisections: the ends are exact to 1e-12."""


def interval(bad: float, all_: float, level: float) -> tuple[float, float]:
    """Return (low, high) of a share: `intervals` of one pair of counts."""
    low, high = intervals([bad], [all_], level)
    return float(low[0]), float(high[0])


def intervals(bad: ArrayLike, all_: ArrayLike, level: float) -> tuple[Array, Array]:
    """Return (low, high) of shares from counts, each at confidence 1 - level at all times together.

    All shares against which a Beta(½, ½) mixture of likelihood ratios has an e-value below 1 / level
    (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, Annals of Statistics 49:2). Counts may be
    fractions: those of clusters that count as one.

    Args:
        bad: bad requests, 0 to `all_`, shape (n,).
        all_: requests, shape (n,).
        level: 0 to 1, both ends excluded.
    """
    wrong, total = np.asarray(bad, float), np.asarray(all_, float)
    right = total - wrong
    middle = np.clip(np.where(total > 0, wrong / np.maximum(total, _LEAST), 0.5), _LEAST, 1 - _LEAST)
    mixture = np.array([_ln_mixture(a, b) for a, b in zip(wrong, right, strict=True)])
    line = mixture - log(1 / level)
    low = _edge(wrong, right, line, np.full_like(middle, _LEAST), middle)
    high = _edge(wrong, right, line, np.full_like(middle, 1 - _LEAST), middle)
    return np.where(wrong > 0, low, 0.0), np.where(right > 0, high, 1.0)


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
    above = total - np.cumsum(np.asarray(counts[: len(edges)], float))
    least, most = intervals(above / burst, np.full(len(edges), total / burst), level)
    low = [edge for edge, value in zip(edges, least, strict=True) if value > 1 - share]
    high = [edge for edge, value in zip(edges, most, strict=True) if value <= 1 - share]
    return (low[-1] if low else 0.0), (high[0] if high else None)


def _edge(bad: Array, good: Array, line: Array, far: Array, near: Array) -> Array:
    """Return, between `near` (inside) and `far`, the last share whose likelihood reaches the line."""
    for _ in range(_ROUNDS):
        middle = (far + near) / 2
        outside = bad * np.log(middle) + good * np.log1p(-middle) <= line
        far, near = np.where(outside, middle, far), np.where(outside, near, middle)
    return far


def _ln_mixture(bad: float, good: float) -> float:
    return _ln_beta(bad + _HALF, good + _HALF) - _ln_beta(_HALF, _HALF)


def _ln_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
