"""Does an observed traffic split fit the weight that was asked for?"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALPHA = 0.001
"""p-value below which a split is called wrong: one right split in a thousand is."""


@dataclass(frozen=True)
class Split:
    """Requests that were counted by the version that answered them.

    Attributes:
        requests: how many.
        canary: how many of them the canary answered.
        weight: percent that it was asked to get.
        p_value: exact two-sided binomial tail: how probable a split at least as unlikely as this one is,
            if every request goes to the canary with probability weight / 100.
    """

    requests: int
    canary: int
    weight: int
    p_value: float

    @property
    def fits(self) -> bool:
        """Whether the split is within what chance allows."""
        return self.p_value >= ALPHA

    def __str__(self) -> str:
        share = f"{100 * self.canary / self.requests:.1f} %" if self.requests else "none"
        verdict = "as asked" if self.fits else "not as asked"
        return (
            f"{self.canary} of {self.requests} requests ({share}) reached the canary, "
            f"{verdict} for weight {self.weight} (p = {self.p_value:.3g})"
        )


def assess_split(requests: int, canary: int, weight: int) -> Split:
    """Compare a counted split with a weight in percent.

    Controllers that take turns instead of drawing lots spread less than the binomial; they fit all the more.

    Raises:
        ValueError: counts or weight out of range.
    """
    return Split(requests, canary, weight, binomial_p_value(canary, requests, weight / 100))


def binomial_p_value(successes: int, trials: int, probability: float) -> float:
    """Return the exact two-sided p-value of a binomial count.

    The sum of the probabilities of all counts that are at most as probable as the one observed, as R's
    binom.test and scipy.stats.binomtest define it.

    Raises:
        ValueError: counts or probability out of range.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials}: expected 0 <= successes <= trials")
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability {probability}: expected 0 to 1")
    if probability in (0.0, 1.0):
        return 1.0 if successes == trials * int(probability) else 0.0
    log_p, log_q = math.log(probability), math.log1p(-probability)
    total = math.lgamma(trials + 1)

    def log_mass(count: int) -> float:
        ways = total - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        return ways + count * log_p + (trials - count) * log_q

    # Rounding must not decide whether a count on the other side is as probable as the observed one.
    limit = log_mass(successes) + 1e-7
    masses = (log_mass(count) for count in range(trials + 1))
    return min(1.0, math.fsum(math.exp(mass) for mass in masses if mass <= limit))


def samples_to_see(weight: int, *, miss: float = ALPHA, most: int = 700) -> int:
    """Return how many requests must all miss the canary before its weight is known to be gone.

    Args:
        weight: percent that it had; at 0 nothing has to be seen.
        miss: probability that as many requests miss it although it still has the weight.
        most: never more than this.
    """
    if weight <= 0:
        return 1
    if weight >= 100:
        return 20
    return min(most, max(20, math.ceil(math.log(miss) / math.log1p(-weight / 100))))
