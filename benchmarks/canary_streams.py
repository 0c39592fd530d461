"""Streams of requests to decide on, the same for our method and for the rules of Flagger and Argo."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlk8s.assess.evidence.batch import PROMOTE, ROLLBACK, Batch
from mlk8s.assess.evidence.blocks import Counts
from mlk8s.assess.evidence.rivals import Rule
from mlk8s.spec.analysis import Analysis

BLOCK = 10
"""Seconds."""
CLUSTER = 5
"""Requests that fail together."""
SHARE = 0.5
"""Of a block's requests that fail in a burst."""
INDEPENDENT, CLUSTERS, BURSTS = "independent", f"clusters of {CLUSTER}", "bursts"


@dataclass(frozen=True)
class Stream:
    """One kind of version under one load.

    Attributes:
        version: good, bad or borderline.
        error, stable: true share of failed requests of the canary and of the stable version.
        rps: requests/s of both together.
        kind: how they fail: INDEPENDENT, CLUSTERS or BURSTS.
    """

    version: str
    error: float
    stable: float
    rps: float
    kind: str = "independent"

    def draw(self, rng: np.random.Generator, weight: np.ndarray) -> list[np.ndarray]:
        """Return (bad, all) of the canary, then of stable, for one block of each replay."""
        mean = self.rps * BLOCK * weight / 100
        both = rng.poisson(mean), rng.poisson(self.rps * BLOCK - mean)
        found = []
        for all_, share in zip(both, (self.error, self.stable), strict=True):
            found += [self._failed(rng, all_, share), all_]
        return found

    def _failed(self, rng: np.random.Generator, all_: np.ndarray, share: float) -> np.ndarray:
        if self.kind == INDEPENDENT:
            return rng.binomial(all_, share)
        if self.kind == BURSTS:
            return np.where(rng.random(all_.shape) < share / SHARE, rng.binomial(all_, SHARE), 0)
        # Whole clusters, and one that the block's end cuts: its members still share one fate.
        whole = CLUSTER * rng.binomial(all_ // CLUSTER, share)
        return whole + all_ % CLUSTER * rng.binomial(1, share, size=all_.shape)


@dataclass
class Outcome:
    """What a method made of the replays of a stream.

    Attributes:
        promoted, rolled_back: shares of the replays; the rest was inconclusive.
        requests, seconds: canary requests and time until the decision (or the deadline), a replay each.
        failed: canary requests that failed until then.
    """

    promoted: float
    rolled_back: float
    requests: np.ndarray = field(repr=False)
    seconds: np.ndarray = field(repr=False)
    failed: np.ndarray = field(repr=False)


def ours(stream: Stream, analysis: Analysis, replays: int, seed: int) -> Outcome:
    """Decide by evidence, a thousand rollouts at once."""
    rng = np.random.default_rng(seed)
    batch = Batch(analysis, replays)
    requests, failed = np.zeros(replays), np.zeros(replays)
    for _ in range(round(analysis.deadline / BLOCK)):
        live = batch.verdict == 0
        if not live.any():
            break
        bad, all_, stable_bad, stable_all = stream.draw(rng, batch.weight)
        requests += np.where(live, all_, 0)
        failed += np.where(live, bad, 0)
        batch.add(
            (bad[:, None].astype(float), all_[:, None].astype(float)),
            (stable_bad[:, None].astype(float), stable_all[:, None].astype(float)),
        )
    return Outcome(
        float(np.mean(batch.verdict == PROMOTE)),
        float(np.mean(batch.verdict == ROLLBACK)),
        requests,
        batch.blocks * float(BLOCK),
        failed,
    )


def by_rule(stream: Stream, rule: Rule, replays: int, seed: int, deadline: float) -> Outcome:
    """Decide by a fixed rule, each replay with a rule of its own."""
    rng = np.random.default_rng(seed)
    rules = [rule.fresh() for _ in range(replays)]
    ends: list[str | None] = [None] * replays
    requests, failed, seconds = np.zeros(replays), np.zeros(replays), np.zeros(replays)
    for look in range(round(deadline / rule.interval)):
        live = [number for number in range(replays) if ends[number] is None]
        if not live:
            break
        weight = np.array([one.weight for one in rules], float)
        window_bad, window_all = np.zeros(replays, int), np.zeros(replays, int)
        for _ in range(round(rule.interval / BLOCK)):
            bad, all_, _, _ = stream.draw(rng, weight)
            window_bad, window_all = window_bad + bad, window_all + all_
        for number in live:
            requests[number] += window_all[number]
            failed[number] += window_bad[number]
            seconds[number] = (look + 1) * rule.interval
            ends[number] = rules[number].look(Counts(int(window_all[number]), int(window_bad[number])))
    share = {end: ends.count(end) / replays for end in ("promote", "rollback")}
    return Outcome(share["promote"], share["rollback"], requests, seconds, failed)
