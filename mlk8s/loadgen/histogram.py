"""Log-linear latency histogram: at most 1 % relative error from 50 µs to 60 s, merged by addition.

Each doubling of latency above 50 µs is cut into 64 equal buckets, so half a bucket is at most 1/128 of the
value (0.8 %). The scheme is that of HdrHistogram (hdrhistogram.org); a float's exponent gives the doubling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, frexp, ldexp

LOWEST = 50e-6
"""Shortest latency told apart, in seconds; shorter ones count as this."""
HIGHEST = 60.0
"""Longest latency told apart, in seconds; longer ones count as this."""
_CUTS = 64
_SCALE = 1 / LOWEST


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that holds a latency in seconds."""
    if seconds <= LOWEST:
        return 0
    mantissa, exponent = frexp(min(seconds, HIGHEST) * _SCALE)
    return (exponent - 1) * _CUTS + int((mantissa - 0.5) * 2 * _CUTS)


def bounds_of(bucket: int) -> tuple[float, float]:
    """Return the lower and upper edge of a bucket, in seconds."""
    doubling, cut = divmod(bucket, _CUTS)
    lower = ldexp(LOWEST * (1 + cut / _CUTS), doubling)
    return lower, lower + ldexp(LOWEST / _CUTS, doubling)


def value_of(bucket: int) -> float:
    """Return the middle of a bucket, in seconds."""
    lower, upper = bounds_of(bucket)
    return (lower + upper) / 2


def quantiles(histogram: Mapping[int, int], shares: Iterable[float]) -> list[float | None]:
    """Return the nearest-rank quantiles in seconds for shares in 0..1; None for an empty histogram."""
    wanted = list(shares)
    count = sum(histogram.values())
    if not count:
        return [None] * len(wanted)
    found: dict[float, float] = {}
    pending = sorted(set(wanted))
    seen = 0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        while pending and seen >= max(1, ceil(pending[0] * count - 1e-9)):
            found[pending.pop(0)] = value_of(bucket)
    return [found[share] for share in wanted]
