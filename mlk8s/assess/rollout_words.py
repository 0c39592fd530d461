"""A rollout in words: one line a block, and the lines of its status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlk8s.assess.evidence import Block, Decision, MetricEvidence
from mlk8s.assess.evidence.words import count_words, duration_words, metric_words, share_words

_GOES_ON = {"canary": "`resume`", "bluegreen": "the same `run`"}


@dataclass(frozen=True)
class Progress:
    """A rollout after one block.

    Attributes:
        service, model: what runs beside what.
        weight: percent that the canary has now.
        block, decision: the last ones.
        held: why nothing is changed except to roll back; None where it goes on by itself.
        blind: what Prometheus said, where it did not answer.
    """

    service: str
    model: str
    weight: int
    block: Block
    decision: Decision
    held: str | None = None
    blind: str | None = None

    def __str__(self) -> str:
        parts = [f"{self.service}: {duration_words(self.decision.elapsed)}", f"weight {self.weight} %"]
        parts.append(self._counted())
        parts += [metric_line(item) for item in self.decision.metrics if item.requests]
        parts.append(self.decision.verdict if self.decision.final else self._waits())
        if self.held:
            parts.append(f"held: {self.held}")
        return " · ".join(parts)

    def _counted(self) -> str:
        if self.blind:
            return f"nothing seen ({self.blind})"
        if self.block.missing:
            return f"nothing seen ({self.block.cause})" if self.block.cause else "nothing seen"
        return f"{self.block.canary.requests} requests, {self.decision.requests} in all"

    def _waits(self) -> str:
        return "waiting" if self._said else f"waiting, {to_go(self.decision)}"

    @property
    def _said(self) -> bool:
        """Whether what is lacking first is that nothing was seen."""
        return self.block.missing and self.decision.to_go == 0

    def states(self) -> tuple[str, ...]:
        """Return what goes on, or keeps it from going on: nothing seen, held, no pod; what is to go."""
        decision, block = self.decision, self.block
        found = []
        if self.blind:
            found.append(f"nothing seen ({self.blind}): the weight stays")
        elif block.missing:
            cause = f": {block.cause}" if block.cause else ""
            found.append(f"nothing was seen in the last block{cause}")
        if self.held:
            found.append(f"held: {self.held}; only a rollback is done by itself")
        elif not self.weight and not decision.final:
            found.append("weight 0: it gets no requests until a pod of it is ready")
        if not decision.final:
            found += [] if self._said else [to_go(decision)]
        elif decision.action == "promote":
            found.append(f"{'would be promoted' if self.held else 'promotion'}: {decision.reasons[0]}")
        elif decision.action == "rollback":
            found.append(f"rollback: {decision.reasons[0]}")
        else:
            found.append(f"{decision.verdict}: {decision.reasons[0]}")
        return tuple(found)


def to_go(decision: Decision) -> str:
    """Return how much is still needed, in words."""
    if not decision.requests:
        unseen = decision.blocks and decision.missing == decision.blocks
        return "no request was counted yet" if unseen else "the canary has had no requests"
    if decision.to_go is None:
        return "requests to go cannot be told yet"
    if decision.to_go == 0:
        return "enough requests" if decision.final else decision.reasons[0]
    return f"about {count_words(decision.to_go)} requests to go"


def metric_line(item: MetricEvidence) -> str:
    """Return a metric's interval beside its bound."""
    name = "errors" if item.name == "errors" else f"above {1000 * (item.latency_bound or 0):.4g} ms"
    return f"{name} {share_words(item.low)} to {share_words(item.high)} (at most {share_words(item.bound)})"


def evidence_rows(decision: Decision) -> list[tuple[str, str, str, str, str]]:
    """Return (metric, counted, interval, bound, evidence beside its lines) of each metric in words."""
    rows = []
    for item in decision.metrics:
        evidence = "; ".join(f"{one.claim}: {one.log10:.1f} of {one.line:.1f}" for one in item.evidence)
        interval = f"{share_words(item.low)} to {share_words(item.high)}"
        counted = f"{item.bad:,} of {item.requests:,}"
        rows.append((metric_words(item), counted, interval, share_words(item.bound), evidence))
    return rows


def status_lines(rollout: Mapping[str, Any], operator: str | None) -> list[str]:
    """Return what a rollout's record says, a line each.

    Args:
        rollout: as it is written down.
        operator: who holds the Lease now; None where nobody works on it.
    """
    if rollout["stage"] == "ended":
        lines = [f"  rollout:  {rollout['model']} ended: {rollout['outcome']} at {rollout['updated']}"]
    else:
        goes_on = _GOES_ON[rollout.get("kind", "canary")]
        alone = f"nobody works on it since {rollout['updated']}; {goes_on} goes on"
        who = f"by {operator}" if operator else alone
        lines = [f"  rollout:  {rollout['stage'].replace('-', ' ')}, {who}"]
    lines += [f"  held:     {rollout['held']}"] if rollout.get("held") and not rollout["outcome"] else []
    lines += [f"  because:  {one}" for one in rollout.get("why") or ()]
    decision = _decision(rollout.get("decision"))
    if decision is not None:
        lines.append(
            f"  verdict:  {decision.verdict} after {duration_words(decision.elapsed)} and "
            f"{decision.requests:,} canary requests" + ("" if decision.final else f"; {to_go(decision)}")
        )
        lines += [
            f"  evidence: {name}: {counted}, {interval}, bound {bound}; {evidence}"
            for name, counted, interval, bound, evidence in evidence_rows(decision)
        ]
    return lines


def _decision(values: Mapping[str, Any] | None) -> Decision | None:
    """Return a decision that was written down; None for one of another version of mlk8s."""
    try:
        return Decision.from_dict(values) if values else None
    except (KeyError, TypeError):
        return None
