"""What is known of a canary after a block of time, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Word = Literal["promote", "rollback", "waiting", "inconclusive"]
Claim = Literal["worse than the SLO", "worse than stable", "within the SLO"]


@dataclass(frozen=True)
class Evidence:
    """Evidence for one claim about one metric.

    Attributes:
        claim: 'worse than the SLO' and 'worse than stable' roll back, 'within the SLO' promotes.
        log10: decimal logarithm of the e-value now: how often one would have had to double up, in powers of
            ten, betting against the opposite of the claim. 0 says nothing, negative speaks against the claim.
        line: the decision line, the same scale: log10(1 / level).
        level: share of alpha (or beta) that this claim may spend.
        reached: whether the line was reached at any block until now: evidence once reached stays.
    """

    claim: Claim
    log10: float
    line: float
    level: float
    reached: bool


@dataclass(frozen=True)
class MetricEvidence:
    """What is known of one metric.

    Attributes:
        name: 'errors' or a percentile, 'p99'.
        bound: largest accepted share of bad requests (0.01 for p99).
        latency_bound: for a percentile, seconds that it may be at most.
        bad, requests: counted of the canary until now.
        stable_bad, stable_requests: the same of the stable version in the same blocks.
        estimate: bad / requests of the canary; None without requests.
        low, high: confidence sequence of the canary's share, valid at all times together: what its tests have
            not refuted; `high` is at the bound just when "within the SLO" has reached its line.
        stable_estimate: bad / requests of the stable version.
        levels: probabilities that `low`, and that `high`, is ever on the wrong side.
        burst: requests that count as one, from 1 (each by itself) up: what clusters in the blocks cost.
        evidence: one for each claim that is tested.
        to_go: canary requests until the next line is reached, if it goes on as until now; None where it
            cannot be told or is reached.
        latency: of a percentile, the seconds between which it lies (edges of the histogram, each end at the
            level of `low`); the second is None where it may be above the last edge; None without buckets.
    """

    name: str
    bound: float
    latency_bound: float | None
    bad: int
    requests: int
    stable_bad: int
    stable_requests: int
    estimate: float | None
    low: float
    high: float
    stable_estimate: float | None
    levels: tuple[float, float]
    burst: float
    evidence: tuple[Evidence, ...]
    to_go: int | None
    latency: tuple[float, float | None] | None = None

    def claim(self, claim: Claim) -> Evidence | None:
        """Return the evidence for a claim; None where it is not tested."""
        return next((item for item in self.evidence if item.claim == claim), None)


@dataclass(frozen=True)
class Decision:
    """What to do with a canary, and why.

    Attributes:
        verdict: 'promote'; 'rollback'; 'waiting' (no or too little data: neither a pass nor a failure);
            'inconclusive' (time is up).
        action: what follows: the verdict's own; of 'inconclusive' what the user chose for the deadline;
            'hold' keeps the weight; 'weight' sets the recommended `weight`.
        weight: percent that the canary should get next: grows with the evidence or the steps, 0 to roll back,
            100 to promote.
        reasons: whole sentences with their numbers, the most important first.
        metrics: evidence, one for each metric of the SLO.
        at: second since the epoch of the last block's end (or of the look, where nothing came since).
        elapsed: seconds since the start.
        blocks: how many were read; `missing` of them had no data.
        requests, stable_requests: counted in all blocks.
        harmed: canary requests that were bad beyond what the SLO allows.
        max_harmed_requests: how many of them are accepted.
        to_go: canary requests that are expected to be still needed; None where it cannot be told.
        alpha, beta: total error budgets.
        split: how they are shared out, a sentence.
        notes: gaps and oddities of the data so far, the last ones, a sentence each.
        queries: what was asked of Prometheus, by name; filled in by the caller.
    """

    verdict: Word
    action: Literal["promote", "rollback", "hold", "weight"]
    weight: int
    reasons: tuple[str, ...]
    metrics: tuple[MetricEvidence, ...]
    at: float
    elapsed: float
    blocks: int
    missing: int
    requests: int
    stable_requests: int
    harmed: float
    max_harmed_requests: int
    to_go: int | None
    alpha: float
    beta: float
    split: str
    notes: tuple[str, ...] = ()
    queries: Mapping[str, str] | None = None

    @property
    def final(self) -> bool:
        """Whether the analysis is over."""
        return self.verdict != "waiting"

    def metric(self, name: str) -> MetricEvidence:
        """Return what is known of one metric."""
        return next(item for item in self.metrics if item.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["queries"] = dict(self.queries) if self.queries else None
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decision:
        """Make it of what `to_dict` returned."""
        metrics = tuple(
            MetricEvidence(
                **{
                    **item,
                    "levels": tuple(item["levels"]),
                    "latency": None if item.get("latency") is None else tuple(item["latency"]),
                    "evidence": tuple(Evidence(**one) for one in item["evidence"]),
                }
            )
            for item in values["metrics"]
        )
        texts = {name: tuple(values[name]) for name in ("reasons", "notes")}
        return cls(**{**values, "metrics": metrics, **texts})

    def __str__(self) -> str:
        return "\n".join((f"{self.verdict}: {self.reasons[0]}", *(f"  {one}" for one in self.reasons[1:])))
