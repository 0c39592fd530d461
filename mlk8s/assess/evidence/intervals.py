"""Confidence sequences: intervals that hold at all times together, however often they are looked at.

They are the tests turned round: every share that its test has not refuted. So a metric is within the SLO just
when its interval's upper end has come down to the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import ArrayLike

from mlk8s.assess.evidence import kernel
from mlk8s.assess.evidence.kernel import Array

_ROUNDS = 18
"""Bisections: the ends are exact to 4e-6."""
_LEAST = 1e-9


def interval(bad: float, all_: float, level: float) -> tuple[float, float]:
    """Return (low, high) of a share, each end at confidence 1 - level: `intervals` of one pair of counts."""
    low, high = intervals([bad], [all_], level, level)
    return float(low[0]), float(high[0])


def intervals(bad: ArrayLike, all_: ArrayLike, low_level: float, high_level: float) -> tuple[Array, Array]:
    """Return (low, high) of shares from counts, at all times together.

    Howard, Ramdas, McAuliffe and Sekhon 2021 (Annals of Statistics 49:2), with the mixtures of `kernel`.
    Counts may be fractions: those of clusters that count as one.

    Args:
        bad: bad requests, 0 to `all_`, shape (n,).
        all_: requests, shape (n,).
        low_level, high_level: probability that the end is ever on the wrong side, 0 to 1, both excluded.
    """
    wrong, total = np.asarray(bad, float), np.asarray(all_, float)
    zero, one = np.full_like(total, _LEAST), np.full_like(total, 1 - _LEAST)
    estimate = np.clip(np.where(total > 0, wrong / np.maximum(total, _LEAST), 0.5), _LEAST, 1 - _LEAST)
    # Below the estimate the evidence for "above" falls towards it; above it that for "below" rises from it.
    low = _turn(lambda share: kernel.above(wrong, total, share) >= log(1 / low_level), zero, estimate)
    high = _turn(lambda share: kernel.below(wrong, total, share) >= log(1 / high_level), one, estimate)
    return np.where(wrong > 0, low, 0.0), np.where(wrong < total, high, 1.0)


def quantiles(
    edges: Sequence[float], counts: Sequence[int], shares: Sequence[float], level: float, burst: float = 1.0
) -> list[tuple[float, float | None]]:
    """Return (low, high) of latency quantiles in seconds, each end at confidence 1 - level at all times.

    "The p-quantile is above t" says the same as "more than 1 - p exceed t": each edge of the histogram has a
    confidence sequence of its own, and because counts above growing edges are nested, only the edge next to
    the true quantile can err, one on each side; the level needs no division by their number.

    Args:
        edges: upper bounds of the buckets in seconds, ascending, without infinity.
        counts: requests in each bucket, not cumulative, one more than edges: the last is above all edges.
        shares: 0.99 for p99.
        burst: requests that count as one.

    Returns:
        of each share low, 0 where nothing is known, and high, None where it may be above the last edge.
    """
    total = sum(counts)
    above = total - np.cumsum(np.asarray(counts[: len(edges)], float))
    least, most = intervals(above / burst, np.full(len(edges), total / burst), level, level)
    found: list[tuple[float, float | None]] = []
    for share in shares:
        low = [edge for edge, value in zip(edges, least, strict=True) if value > 1 - share]
        high = [edge for edge, value in zip(edges, most, strict=True) if value <= 1 - share]
        found.append((low[-1] if low else 0.0, high[0] if high else None))
    return found


def _turn(refuted: object, far: Array, near: Array) -> Array:
    """Return, between `near` (not refuted) and `far`, where refutation begins."""
    assert callable(refuted)
    for _ in range(_ROUNDS):
        middle = (far + near) / 2
        out = refuted(middle)
        far, near = np.where(out, middle, far), np.where(out, near, middle)
    return far
