"""The whole distribution of latency over time, as numbers to draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlk8s.loadgen.histogram import VALUES
from mlk8s.report.results import Results

_A_DECADE = 12
"""Rows of the map for each factor of ten."""


class Heat(NamedTuple):
    """Right answers by second and latency.

    Attributes:
        shares: [rows, seconds], share of the second's answers, 0 to 1; NaN where there is none.
        seconds: [seconds + 1], edges in seconds since the start.
        latency: [rows + 1], edges in seconds.
    """

    shares: np.ndarray
    seconds: np.ndarray
    latency: np.ndarray


def heat(results: Results) -> Heat | None:
    """Return the map of a run; None where nothing was answered rightly."""
    start = min(results.load, default=0)
    seen = {
        second - start: counts.histogram
        for second, counts in results.requests.items()
        if counts.histogram and second >= start
    }
    if not seen:
        return None
    lowest, highest = min(map(min, seen.values())), max(map(max, seen.values()))
    decades = np.floor(np.log10(np.maximum(VALUES, VALUES[1])) * _A_DECADE)
    first = decades[lowest]
    rows = int(decades[highest] - first) + 1
    row_of = np.clip(decades - first, 0, rows - 1).astype(np.int64)
    shares = np.full((rows, max(seen) + 1), np.nan)
    for second, histogram in seen.items():
        places = row_of[np.fromiter(histogram, dtype=np.int64)]
        counts = np.fromiter(histogram.values(), dtype=np.float64)
        column = np.bincount(places, weights=counts, minlength=rows)
        column[column == 0] = np.nan
        shares[:, second] = column / counts.sum()
    edges = 10 ** ((first + np.arange(rows + 1)) / _A_DECADE)
    return Heat(shares, np.arange(shares.shape[1] + 1.0), edges)
