"""Is a run worse than a baseline, beyond what the noise of both explains? A bootstrap over blocks of time.

Requests of one second are not independent: a stall, a collection, a pod that starts hits all of them. So
whole blocks of neighbouring seconds are drawn with replacement (the non-overlapping block bootstrap:
Carlstein 1986; Lahiri, Resampling Methods for Dependent Data, section 2.5), in both runs, and the spread of
the differences is the noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlk8s.errors import UsageError
from mlk8s.loadgen.histogram import BUCKETS, value_of

SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_VALUES = np.array([value_of(bucket) for bucket in range(BUCKETS)])
_FEWEST_BLOCKS = 5


@dataclass(frozen=True)
class Block:
    """The requests of a few neighbouring seconds.

    Attributes:
        histogram: right answers by latency bucket.
        total: requests that ended.
    """

    histogram: Mapping[int, int]
    total: int

    @property
    def ok(self) -> int:
        return sum(self.histogram.values())


@dataclass(frozen=True)
class Difference:
    """One number of two runs.

    Attributes:
        name: p50, p90, p95, p99 (seconds) or errors (share, 0 to 1).
        baseline, run: the number in each; None where there was no right answer.
        low, high: interval of run minus baseline that holds it with the confidence.
        allowed: how much worse it may be.
        worse: whether it certainly is worse than that; None where it cannot be said.
    """

    name: str
    baseline: float | None
    run: float | None
    low: float | None
    high: float | None
    allowed: float
    worse: bool | None

    def __str__(self) -> str:
        if self.baseline is None or self.run is None or self.low is None or self.high is None:
            return f"{self.name}: too little to compare"
        word = "WORSE" if self.worse else "not certainly worse"
        one, other, low, high = (
            _shown(self.name, value) for value in (self.baseline, self.run, self.low, self.high)
        )
        return f"{self.name}: {one} → {other}, difference {low} to {high}: {word}"


@dataclass(frozen=True)
class Band:
    """A run's latency by the share of right answers that were as fast, with what its noise allows.

    Attributes:
        shares: 0 to 1, ascending.
        latency, low, high: seconds at each share: the run's own, and the interval of the bootstrap.
    """

    shares: np.ndarray
    latency: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """All differences of a run to its baseline."""

    differences: tuple[Difference, ...]
    confidence: float

    @property
    def worse(self) -> bool:
        """Whether any number is certainly worse."""
        return any(item.worse for item in self.differences)

    @property
    def exit_code(self) -> int:
        """1 when the run is certainly worse, else 0."""
        return int(self.worse)

    def __str__(self) -> str:
        head = "worse than the baseline" if self.worse else "not certainly worse than the baseline"
        return "\n".join([f"{head} (confidence {100 * self.confidence:g} %)", *map(str, self.differences)])


def compare(
    baseline: Sequence[Block], run: Sequence[Block], *, confidence: float = 0.99, latency: float = 0.05,
    errors: float = 0.001, draws: int = 2000, seed: int = 1,
) -> Comparison:  # fmt: skip
    """Compare two runs of the same load.

    The confidence is that of all numbers together: each interval has its share of the error (Bonferroni).

    Args:
        baseline, run: blocks of equal length in time, warm-up left out.
        confidence: that no number is called worse which is not, 0 to 1.
        latency: share by which a percentile may be worse before it counts.
        errors: by which the error rate may be worse before it counts, 0 to 1.
        draws: of the bootstrap.
        seed: of its random numbers: the same seed says the same.

    Raises:
        UsageError: fewer than five blocks in a run.
    """
    for name, blocks in (("baseline", baseline), ("run", run)):
        if len(blocks) < _FEWEST_BLOCKS:
            raise UsageError(
                f"the {name} has {len(blocks)} blocks of time",
                expected=f"{_FEWEST_BLOCKS} or more: a longer test, or shorter blocks",
            )
    random = np.random.Generator(np.random.PCG64(seed))
    drawn = [resampled(blocks, draws, random) for blocks in (baseline, run)]
    whole = [observed(blocks) for blocks in (baseline, run)]
    tail = (1 - confidence) / len(whole[0])
    differences = []
    for name in whole[0]:
        one, other = (float(numbers[name][0]) for numbers in whole)
        spread = drawn[1][name] - drawn[0][name]
        spread = spread[np.isfinite(spread)]
        if not np.isfinite(one) or not np.isfinite(other) or len(spread) < draws / 2:
            lost = name != "errors" and np.isfinite(one) and not np.isfinite(other)
            differences.append(
                Difference(name, _known(one), _known(other), None, None, latency, True if lost else None)
            )
            continue
        low, high = (float(value) for value in np.quantile(spread, [tail, 1 - tail]))
        allowed = errors if name == "errors" else latency * one
        differences.append(Difference(name, one, other, low, high, allowed, low > allowed))
    return Comparison(tuple(differences), confidence)


def band(blocks: Sequence[Block], *, confidence: float = 0.99, draws: int = 500, seed: int = 1) -> Band:
    """Return the percentile curve of a run, from its median to its p99.9, with a band for each point alone.

    Raises:
        UsageError: no right answers.
    """
    if not any(block.histogram for block in blocks):
        raise UsageError("a run without any right answer has no curve of latency", where="compare")
    shares = 1 - np.geomspace(0.5, 0.001, 60)
    matrix, count = _matrix(blocks), len(blocks)
    random = np.random.Generator(np.random.PCG64(seed))
    weights = random.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    summed = np.cumsum(weights @ matrix, axis=1)
    drawn = np.stack([_quantile(row, shares) for row in summed if row[-1] > 0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return Band(shares, _quantile(np.cumsum(matrix.sum(axis=0)), shares), low, high)


def _quantile(summed: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the nearest-rank quantiles of one cumulated histogram."""
    ranks = np.maximum(1.0, np.ceil(shares * summed[-1] - 1e-9))
    found: np.ndarray = _VALUES[np.minimum(np.searchsorted(summed, ranks), BUCKETS - 1)]
    return found


def observed(blocks: Sequence[Block]) -> dict[str, np.ndarray]:
    """Return each number of all blocks together: arrays of one."""
    return _numbers(_matrix(blocks).sum(axis=0, keepdims=True), _totals(blocks))


def resampled(blocks: Sequence[Block], draws: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return each number for every bootstrap draw; NaN where nothing was answered."""
    count = len(blocks)
    weights = random.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    totals = weights @ np.array([block.total for block in blocks], dtype=np.float64)
    return _numbers(weights @ _matrix(blocks), totals)


def _numbers(histograms: np.ndarray, totals: np.ndarray) -> dict[str, np.ndarray]:
    """Return percentiles and error rates of histograms, a row each; NaN where nothing was answered."""
    summed = np.cumsum(histograms, axis=1)
    ok = summed[:, -1]
    found = {}
    for name, share in SHARES.items():
        rank = np.maximum(1.0, np.ceil(share * ok - 1e-9))
        places = np.minimum((summed < rank[:, None]).sum(axis=1), BUCKETS - 1)
        found[name] = np.where(ok > 0, _VALUES[places], np.nan)
    found["errors"] = np.where(totals > 0, (totals - ok) / np.maximum(totals, 1), np.nan)
    return found


def _matrix(blocks: Sequence[Block]) -> np.ndarray:
    matrix = np.zeros((len(blocks), BUCKETS))
    for row, block in zip(matrix, blocks, strict=True):
        for bucket, count in block.histogram.items():
            row[bucket] = count
    return matrix


def _totals(blocks: Sequence[Block]) -> np.ndarray:
    return np.array([float(sum(block.total for block in blocks))])


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.3g} %" if name == "errors" else f"{1000 * value:.3g} ms"
