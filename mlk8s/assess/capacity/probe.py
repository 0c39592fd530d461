"""One probe: a rate that was offered for some seconds, and whether the promise was held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np

from mlk8s.assess.capacity.threshold import Trial
from mlk8s.assess.compare import Block, observed, resampled
from mlk8s.assess.slo import SHARES, assess_slo
from mlk8s.loadgen.arrivals import Arrivals, Profile
from mlk8s.spec.load import Slo

ERRORS = 0.01
"""Share of failed requests that is accepted where the promise says nothing of errors: what failed has no
latency, and a pod that refuses everything would seem to be fast."""
_BEHIND, _FEW = 0.03, 3
"""A pod that has answered this share, and this many requests, less than were sent does not keep up."""
_SHORTEST = 8.0
"""Seconds that a probe is judged over, at least."""
_DRAWS = 400
_FEWEST_BLOCKS = 5
_SEEDS, _CLOSE = 100, 0.005
_WEIGHTS = np.array([0.2, 1.0])
"""How much it matters that requests are too many or too few in the warm-up, and in what is judged."""


@dataclass(frozen=True)
class Probe:
    """One rate and what came of it.

    Attributes:
        rate: requests/s that were offered to the pod.
        seconds: that are judged.
        requests, ok: that ended, and those with a right answer.
        percentiles: latency of right answers in seconds, p50 to p99.
        mean: mean latency of right answers in seconds.
        errors: share of requests without a right answer.
        kept_up: whether answers came as fast as requests.
        held: whether the promise was held.
        share: how often it would have been, by bootstrap over the probe's seconds, 0 to 1.
        lag: 99th percentile of the generator's own delay in seconds.
        in_flight: mean number of requests in the pod, by its own count; None where nothing counts them.
        cpu: mean CPUs that the pod's server used; None where nothing counts them.
    """

    rate: float
    seconds: float
    requests: int
    ok: int
    percentiles: dict[str, float | None]
    mean: float | None
    errors: float | None
    kept_up: bool
    held: bool
    share: float
    lag: float | None = None
    in_flight: float | None = None
    cpu: float | None = None

    @property
    def trial(self) -> Trial:
        """What the search learns from it."""
        return Trial(self.rate, self.share)


@dataclass(frozen=True)
class Judgement:
    """`Probe.kept_up`, `held` and `share`."""

    kept_up: bool
    held: bool
    share: float


def complete(slo: Slo) -> Slo:
    """Return the promise that probes are judged by: with a bound on errors."""
    found: Slo = slo if slo.errors is not None else slo.replace(errors=ERRORS)
    return found


def requests_needed(slo: Slo) -> int:
    """Return how many requests a probe needs, so that the highest percentile has some above it."""
    highest = max((SHARES[name] for name in slo.latency), default=0.9)
    return ceil(1.5 / (1 - highest) - 1e-9)


def judged_seconds(slo: Slo, rate: float) -> float:
    """Return how long a probe of a rate has to be judged."""
    return max(_SHORTEST, float(ceil(requests_needed(slo) / rate)))


def fair_seed(rates: Sequence[float], warmup: float, seconds: float, first: int) -> int:
    """Return a seed of random arrivals that brings about as many requests as the rates say.

    In a few seconds chance alone makes a rate some percent higher or lower, and a pod near its limit would be
    judged by a rate that nobody asked for. When they come, and how close together, stays random.

    Args:
        rates: requests/s, one after the other.
        warmup, seconds: of each, that are sent before, and while, it is judged.
        first: seed that is tried first; the next hundred are the others.
    """
    length = warmup + seconds
    profile = Profile([{"hold": length, "rps": rate} for rate in rates])
    ends = [k * length + part for k in range(len(rates)) for part in (warmup, length)]
    wanted = np.array([rate * part for rate in rates for part in (warmup, seconds)])
    weights = np.tile(_WEIGHTS, len(rates)) / np.maximum(wanted, 1.0)
    best, least = first, inf
    for seed in range(first, first + _SEEDS):
        arrivals = Arrivals(profile, seed=seed)
        found = np.array([len(arrivals.before(end)) for end in ends])
        off = float(np.max(np.abs(found - wanted) * weights))
        if off < least:
            best, least = seed, off
        if least <= _CLOSE:
            break
    return best


def judge(slo: Slo, blocks: Sequence[Block], *, sent: int, ended: int, seed: int = 1) -> Judgement:
    """Say whether a probe held the promise.

    Args:
        slo: as `complete` returns it.
        blocks: the requests by second, those that ended after the load included.
        sent, ended: requests that were sent, and those that ended, while the load lasted.
        seed: of the bootstrap.
    """
    behind = sent - ended
    kept_up = behind <= _BEHIND * sent + _FEW
    numbers = observed(blocks)
    total = sum(block.total for block in blocks)
    right = sum(block.ok for block in blocks)
    latency = {name: float(numbers[name][0]) if right else None for name in slo.latency}
    held = bool(assess_slo(slo, requests=total, ok=right, latency=latency).held) and kept_up
    if not kept_up or not right:
        return Judgement(kept_up, held=False, share=0.0)
    if len(blocks) < _FEWEST_BLOCKS:
        return Judgement(kept_up, held, share=float(held))
    drawn = resampled(blocks, _DRAWS, np.random.default_rng(seed))
    good = drawn["errors"] <= (slo.errors if slo.errors is not None else 1.0)
    for name, bound in slo.latency.items():
        good &= drawn[name] <= bound  # NaN, where nothing was answered, is not
    return Judgement(kept_up, held, share=float(np.mean(good)))
