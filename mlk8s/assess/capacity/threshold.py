"""The most requests/s that a pod holds, from few noisy probes: a Bayesian estimate on a grid of rates.

Whether a probe of a rate holds is partly chance: requests come at random, and the machine has other work. So
the share of probes that hold falls with the rate in an S, and the rate is looked for at which it is three of
four. Each probe turns what is believed about it, and the next probe is sent at the middle of that belief,
where it teaches most (QUEST: Watson and Pelli, Perception & Psychophysics 33, 1983; at the median, as in
King-Smith et al., Vision Research 34, 1994). How steep the S is is not known either, and is averaged over
(Kontsevich and Tyler, Vision Research 39, 1999). A small share of probes is taken to end by accident, so that
one disturbed probe does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEP = 0.005
"""Distance of neighbouring rates of the grid, as a share."""
HOLDS = 0.75
"""Share of probes that hold at the rate that is looked for: half would be a promise kept by chance."""
SPREADS = (0.01, 0.02, 0.04, 0.08, 0.16)
"""How gently the share that holds may fall: scale of the logistic function, in logarithms of the rate."""
ACCIDENTS = 0.04
"""Share of probes whose end has nothing to do with their rate."""

_SHIFT = float(np.log(1 / HOLDS - 1))

Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Trial:
    """What one probe says.

    Attributes:
        rate: requests/s.
        held: 1 when the promise was certainly held, 0 when it was certainly broken; between them where the
            noise within the probe leaves it open (a fractional response: Papke and Wooldridge, Journal of
            Applied Econometrics 11, 1996).
    """

    rate: float
    held: float


@dataclass(frozen=True)
class Estimate:
    """What is believed about the most requests/s that hold.

    Attributes:
        rate: as likely above as below it.
        low, high: interval that has it with the confidence.
        confidence: 0 to 1.
        floor, ceiling: the belief has come to the lowest, or the highest, rate that was looked at.
    """

    rate: float
    low: float
    high: float
    confidence: float
    floor: bool = False
    ceiling: bool = False

    @property
    def width(self) -> float:
        """Length of the interval as a share of the rate."""
        return (self.high - self.low) / self.rate


def estimate(trials: Sequence[Trial], lowest: float, highest: float, confidence: float = 0.9) -> Estimate:
    """Return what the trials say; before the first, every rate is as likely as its multiples.

    Args:
        trials: in any order.
        lowest, highest: bounds of the rates in question, above 0.
        confidence: of the interval, 0 to 1.

    Raises:
        ValueError: bounds that are none.
    """
    if not 0 < lowest < highest:
        raise ValueError(f"rates from {lowest} to {highest}; expected 0 < lowest < highest")
    logs = np.linspace(np.log(lowest), np.log(highest), 2 + int(np.log(highest / lowest) / STEP))
    belief = _belief(trials, logs)
    share = np.cumsum(belief)
    # Between grid points the belief is spread evenly; each point stands for the step around it.
    tail = (1 - confidence) / 2
    low, middle, high = (
        float(np.exp(np.interp(part, share - belief / 2, logs))) for part in (tail, 0.5, 1 - tail)
    )
    edge = 0.05
    return Estimate(
        rate=middle, low=low, high=high, confidence=confidence,
        floor=middle <= lowest * (1 + edge), ceiling=middle >= highest / (1 + edge),
    )  # fmt: skip


def _belief(trials: Sequence[Trial], logs: Numbers) -> Numbers:
    """Return the probability of each rate of the grid."""
    spreads = np.array(SPREADS)[:, None]
    total = np.zeros((len(SPREADS), len(logs)))
    for trial in trials:
        distance = np.clip((np.log(trial.rate) - logs) / spreads + _SHIFT, -500, 500)
        holds = ACCIDENTS / 2 + (1 - ACCIDENTS) / (1 + np.exp(distance))
        total += trial.held * np.log(holds) + (1 - trial.held) * np.log1p(-holds)
    weights = np.exp(total - total.max()).sum(axis=0)
    found: Numbers = weights / weights.sum()
    return found
