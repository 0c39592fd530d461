"""Log-linear latency histogram: at most 0.8 % relative error from 33 µs to 60 s, merged by addition.

A latency is a whole number of units of 512 ns. Each doubling above 64 units is cut into 64 equal buckets, so
half a bucket is at most 1/128 of the value; below 64 units a bucket is one unit. The scheme is that of
HdrHistogram (hdrhistogram.org); an integer's bit length gives the doubling, so that a record takes no
logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import ceil

import numpy as np

UNIT_BITS = 9
"""A unit is 2 ** 9 ns."""
UNIT = 2**UNIT_BITS * 1e-9
"""A unit in seconds."""
HIGHEST = 60.0
"""Longest latency told apart, in seconds; longer ones count as this."""
_CUT_BITS = 6
_HIGHEST_NS = int(HIGHEST * 1e9)


def bucket_of(nanoseconds: int) -> int:
    """Return the number of the bucket that holds a latency in nanoseconds."""
    units = (nanoseconds if nanoseconds < _HIGHEST_NS else _HIGHEST_NS) >> UNIT_BITS
    shift = units.bit_length() - 1 - _CUT_BITS
    return units if shift <= 0 else (shift << _CUT_BITS) + (units >> shift)


BUCKETS = bucket_of(_HIGHEST_NS) + 1
"""How many buckets there are."""


class Histogram:
    """Counts by bucket, for what is recorded once a request.

    A record is one append to a list, for which `add` is the list's own; `fold` counts them all at once, and
    is called often enough that a burst of work is no pause.

    >>> latencies = Histogram()
    >>> latencies.add(23_000_000)
    """

    __slots__ = ("_counts", "_new", "add")

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, dtype=np.int64)
        self._new: list[int] = []
        self.add: Callable[[int], None] = self._new.append
        """Count a latency in nanoseconds."""

    def fold(self) -> int:
        """Put what was added since the last call into its buckets, and return how many; `bucket_of` for all
        at once."""
        count = len(self._new)
        if not count:
            return 0
        units = np.minimum(np.array(self._new, dtype=np.int64), _HIGHEST_NS) >> UNIT_BITS
        self._new.clear()  # not a new list: `add` belongs to this one
        shift = np.maximum(np.frexp(units)[1] - 1 - _CUT_BITS, 0)  # frexp gives the bit length, exactly
        self._counts += np.bincount((shift << _CUT_BITS) + (units >> shift), minlength=BUCKETS)
        return count

    @property
    def count(self) -> int:
        """How many were added."""
        return int(self._counts.sum()) + len(self._new)

    def sparse(self) -> dict[int, int]:
        """Return {bucket: count} of the buckets that are not empty."""
        self.fold()
        filled = np.flatnonzero(self._counts)
        return dict(zip(filled.tolist(), self._counts[filled].tolist(), strict=True))


def bounds_of(bucket: int) -> tuple[float, float]:
    """Return the lower and upper edge of a bucket, in seconds."""
    shift = max(0, (bucket >> _CUT_BITS) - 1)
    units = bucket - (shift << _CUT_BITS)
    return (units << shift) * UNIT, ((units + 1) << shift) * UNIT


def value_of(bucket: int) -> float:
    """Return the middle of a bucket, in seconds."""
    lower, upper = bounds_of(bucket)
    return (lower + upper) / 2


VALUES = np.array([value_of(bucket) for bucket in range(BUCKETS)])
"""[BUCKETS], the middle of every bucket, in seconds."""


def merged(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the sum of histograms {bucket: count}."""
    several = list(histograms)
    buckets = np.fromiter(chain.from_iterable(several), dtype=np.int64)
    counts = np.fromiter(chain.from_iterable(each.values() for each in several), dtype=np.int64)
    total = np.zeros(BUCKETS, dtype=np.int64)
    np.add.at(total, buckets, counts)
    filled = np.flatnonzero(total)
    return dict(zip(filled.tolist(), total[filled].tolist(), strict=True))


def quantiles(histogram: Mapping[int, int], shares: Iterable[float]) -> list[float | None]:
    """Return the nearest-rank quantiles in seconds for shares in 0..1; None for an empty histogram."""
    wanted = list(shares)
    buckets = np.fromiter(histogram, dtype=np.int64, count=len(histogram))
    counts = np.fromiter(histogram.values(), dtype=np.int64, count=len(histogram))
    order = np.argsort(buckets)
    seen = np.cumsum(counts[order])
    if not len(seen) or not seen[-1]:
        return [None] * len(wanted)
    count = int(seen[-1])
    ranks = [max(1, ceil(share * count - 1e-9)) for share in wanted]
    found: list[float | None] = VALUES[buckets[order[np.searchsorted(seen, ranks)]]].tolist()
    return found
