"""From evidence to a verdict, a weight and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor

from mlk8s.assess.evidence.blocks import Block, Counts
from mlk8s.assess.evidence.decision import Decision, Evidence, MetricEvidence, Word
from mlk8s.assess.evidence.known import split_words
from mlk8s.assess.evidence.words import count_words, duration_words, metric_words, share_words
from mlk8s.spec.analysis import Analysis

DOUBT = 1.0
"""log10 of an e-value against the canary from which on it gets no more weight and is not promoted."""
REACT = 3
"""Blocks from a fault's first request until the weight is taken back: the block, its scrape, the change."""
_RECENT = 6
"""Blocks whose requests tell the rate of the service."""
_MOST_NOTES = 20


def verdict(
    analysis: Analysis,
    metrics: tuple[MetricEvidence, ...],
    blocks: Sequence[Block],
    canary: Counts,
    stable: Counts,
    weight: int,
    started: float,
    at: float,
    queries: Mapping[str, str] | None,
) -> Decision:
    """Return the decision on what is known at second `at` since the epoch."""
    harmed = round(max([0.0, *(item.bad - item.bound * item.requests for item in metrics)]), 2)
    word, reasons = _judged(analysis, metrics, blocks, weight, started, at, harmed)
    wanted = _weight(analysis, metrics, blocks, weight, harmed, word)
    actions = {"promote": "promote", "rollback": "rollback", "inconclusive": analysis.at_deadline}
    action = actions.get(word) or ("hold" if wanted == weight else "weight")
    if word == "inconclusive":
        wanted = {"promote": 100, "rollback": 0, "hold": weight}[analysis.at_deadline]
    notes = [note for block in blocks[-200:] for note in block.notes]
    return Decision(
        verdict=word,
        action=action,  # type: ignore[arg-type]
        weight=wanted,
        reasons=tuple(reasons),
        metrics=metrics,
        at=at,
        elapsed=round(at - started, 3),
        blocks=len(blocks),
        missing=sum(block.missing for block in blocks),
        requests=canary.requests,
        stable_requests=stable.requests,
        harmed=harmed,
        max_harmed_requests=analysis.max_harmed_requests,
        to_go=_to_go(metrics, word),
        alpha=analysis.alpha,
        beta=analysis.beta,
        split=split_words(analysis),
        notes=tuple(notes[-_MOST_NOTES:]),
        queries=queries,
    )


def against(metrics: Sequence[MetricEvidence]) -> list[tuple[MetricEvidence, Evidence]]:
    """Return the claims that would roll back, the strongest beside its line first."""
    found = [(item, one) for item in metrics for one in item.evidence if one.claim != "within the SLO"]
    return sorted(found, key=lambda pair: (not pair[1].reached, pair[1].line - pair[1].log10))


def _judged(
    analysis: Analysis,
    metrics: Sequence[MetricEvidence],
    blocks: Sequence[Block],
    weight: int,
    started: float,
    at: float,
    harmed: float,
) -> tuple[Word, list[str]]:
    reached = [(item, one) for item, one in against(metrics) if one.reached]
    if reached:
        return "rollback", [_against_words(item, one) for item, one in reached]
    if harmed >= analysis.max_harmed_requests:
        most = f"{analysis.max_harmed_requests:,} harmed requests are accepted"
        return "rollback", [
            f"{harmed:,.0f} requests more than the SLO allows were bad; {most} (max_harmed_requests)",
            *_lines(metrics),
        ]
    lacks = _lacks(analysis, metrics, blocks, weight)
    if not lacks:
        return "promote", [_within_words(item) for item in metrics]
    if at - started >= analysis.deadline - 1e-9:
        then = {"rollback": "roll back", "promote": "promote", "hold": "hold the weight"}[
            analysis.at_deadline
        ]
        return "inconclusive", [
            f"{duration_words(analysis.deadline)} are over without enough evidence; chosen for that: {then}",
            *lacks,
            *_lines(metrics),
        ]
    return "waiting", lacks


def _lacks(
    analysis: Analysis, metrics: Sequence[MetricEvidence], blocks: Sequence[Block], weight: int
) -> list[str]:
    """Return what a promotion still needs, a sentence each."""
    lacks = []
    if not blocks or blocks[-1].missing:
        cause = f": {blocks[-1].cause}" if blocks and blocks[-1].cause else ""
        lacks.append(
            f"nothing could be counted in the last block{cause}" if blocks else "no block has ended yet"
        )
    seen = sum(block.seconds for block in blocks if block.canary.requests)
    if not seen and blocks and all(block.cause for block in blocks):
        lacks.append("no request of the canary could be counted: neither a pass nor a failure")
    elif not seen:
        lacks.append("the canary has had no requests: neither a pass nor a failure")
    strongest = next(iter(against(metrics)), None)
    if strongest and strongest[1].log10 >= DOUBT:
        lacks.append(f"there is evidence against it: {_against_words(*strongest)}")
    lacks += [_open_words(item) for item in metrics if not _kept(item)]
    if 0 < seen < analysis.bake:
        lacks.append(
            f"it has had requests for {duration_words(seen)} of {duration_words(analysis.bake)} (bake)"
        )
    if weight < analysis.promote_from:
        lacks.append(
            f"its weight is {weight} %; it may be promoted from {analysis.promote_from} % on (promote_from)"
        )
    return lacks


def _kept(item: MetricEvidence) -> bool:
    found = item.claim("within the SLO")
    return found is not None and found.reached


def _weight(
    analysis: Analysis,
    metrics: Sequence[MetricEvidence],
    blocks: Sequence[Block],
    weight: int,
    harmed: float,
    word: Word,
) -> int:
    if word in ("promote", "rollback"):
        return 100 if word == "promote" else 0
    if not blocks or blocks[-1].missing or not blocks[-1].canary.requests:
        return weight  # no data: it is given no more, and nothing is taken for a failure
    doubt = any(one.log10 >= DOUBT for _, one in against(metrics))
    if analysis.steps:
        return weight if doubt else _next_step(analysis, blocks, weight)
    most = min(analysis.max_weight, _harmless(analysis, metrics, blocks, harmed))
    grown = weight if doubt else max(weight, min(2 * weight, most))
    return max(analysis.min_weight, min(grown, most)) if weight >= analysis.min_weight else weight


def _next_step(analysis: Analysis, blocks: Sequence[Block], weight: int) -> int:
    """Return the next step's weight once this one was held, with requests, for its pause."""
    held = 0.0
    for block in reversed(blocks):
        if block.weight != weight:
            break
        held += block.seconds if block.canary.requests else 0.0
    here = [step for step in analysis.steps if step.weight <= weight]
    later = [step.weight for step in analysis.steps if step.weight > weight]
    pause = here[-1].pause if here else 0.0
    return later[0] if later and held >= pause - 1e-9 else weight


def _harmless(
    analysis: Analysis, metrics: Sequence[MetricEvidence], blocks: Sequence[Block], harmed: float
) -> int:
    """Return the weight in percent at which a canary as bad as the upper end of its interval harms, until
    that is noticed, no more requests than are accepted."""
    recent = [block for block in blocks if not block.missing][-_RECENT:]
    seconds = sum(block.seconds for block in recent)
    requests = sum(block.canary.requests + block.stable.requests for block in recent)
    excess = max((max(0.0, item.high - item.bound) for item in metrics), default=1.0)
    danger = requests / seconds * analysis.block * REACT * excess if seconds else 0.0
    if danger <= 0:
        return analysis.max_weight
    return floor(min(100.0, 100 * max(0.0, analysis.max_harmed_requests - harmed) / danger))


def _to_go(metrics: Sequence[MetricEvidence], word: Word) -> int | None:
    if word != "waiting":
        return 0
    bad = [item for item in metrics if item.estimate is not None and item.estimate >= item.bound]
    known = [item.to_go for item in bad or metrics]
    if bad:
        told = [value for value in known if value is not None]
        return min(told) if told else None
    return None if any(value is None for value in known) else max(value or 0 for value in known)


def _against_words(item: MetricEvidence, one: Evidence) -> str:
    return (
        f"{metric_words(item)} {one.claim}: {item.bad:,} of {item.requests:,} ({share_words(item.estimate)})"
        f"{_stable_words(item) if one.claim == 'worse than stable' else f', bound {share_words(item.bound)}'}"
        f"; evidence {_odds(one.log10)} to 1, line {_odds(one.line)}"
    )


def _stable_words(item: MetricEvidence) -> str:
    return f", stable {item.stable_bad:,} of {item.stable_requests:,} ({share_words(item.stable_estimate)})"


def _within_words(item: MetricEvidence) -> str:
    one = item.claim("within the SLO")
    assert one is not None
    return (
        f"{metric_words(item)} within the SLO: {item.bad:,} of {item.requests:,} "
        f"({share_words(item.estimate)}), bound {share_words(item.bound)}; "
        f"evidence {_odds(one.log10)} to 1, line {_odds(one.line)}"
    )


def _open_words(item: MetricEvidence) -> str:
    go = "" if item.to_go is None else f"; about {count_words(item.to_go)} requests to go"
    if not item.requests:
        return f"{metric_words(item)}: no request yet{go}"
    return (
        f"{metric_words(item)} between {share_words(item.low)} and {share_words(item.high)}, "
        f"bound {share_words(item.bound)}{go}"
    )


def _lines(metrics: Sequence[MetricEvidence]) -> list[str]:
    return [_open_words(item) for item in metrics if _kept(item)]


def _odds(log10: float) -> str:
    if log10 > 6:
        return f"10^{log10:.0f}"
    odds = 10.0**log10
    return f"{odds:,.0f}" if odds >= 10 else f"{odds:.2g}"
