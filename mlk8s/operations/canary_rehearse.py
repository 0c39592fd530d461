"""A policy rehearsed before it is used, on what Prometheus remembers or on a recorded rollout."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlk8s.assess.evidence import Block, Record, slo_edges
from mlk8s.assess.evidence.rehearse import REGRESSIONS, Regression, Rehearsed, rehearse
from mlk8s.assess.evidence.rivals import RAMP, read_rule
from mlk8s.assess.evidence.scrapes import read_blocks
from mlk8s.clients.clock import Clock
from mlk8s.errors import UsageError
from mlk8s.operations.canary_counts import Counts, selector, series
from mlk8s.operations.rollout_drive import prometheus_of
from mlk8s.operations.rollout_tell import EVIDENCE
from mlk8s.operations.service import Service
from mlk8s.spec.analysis import Analysis

MOST = 86_400.0
"""Most seconds of history that are asked for."""
_ANSWER = 30.0
_EVEN = 1e-3


@dataclass(frozen=True)
class Rehearsal:
    """What a policy, and other tools' rules beside it, made of a history.

    Attributes:
        rows: one for each regression and policy.
        blocks, requests: of the history.
        notes: what a reader should know of it.
    """

    rows: tuple[Rehearsed, ...]
    blocks: int
    requests: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.requests:,} requests in {self.blocks} blocks, each replay from a random one of them"
        return "\n".join([head, *self.notes, *map(str, self.rows)])

    def __repr__(self) -> str:
        return str(self)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a row for each regression and policy."""
        return [
            {
                "policy": row.policy, "regression": row.regression.name, "bad": row.bad,
                "replays": row.replays, "promoted": row.promoted, "rolled_back": row.rolled_back,
                "inconclusive": row.inconclusive, "wrong_promotions": row.wrong_promotions,
                "wrong_rollbacks": row.wrong_rollbacks, "seconds": row.seconds, "delay": row.delay,
                "requests": row.requests, "harmed": row.harmed,
            }
            for row in self.rows
        ]  # fmt: skip


def rehearse_policy(
    history: Sequence[Block],
    analysis: Analysis,
    *,
    rules: Sequence[Mapping[str, Any]] = (),
    regressions: Sequence[Regression] = REGRESSIONS,
    replays: int = 100,
    notes: Sequence[str] = (),
) -> Rehearsal:
    """Replay a history through a policy and through other tools' rules.

    Args:
        history: blocks of `analysis.block` seconds.
        rules: Flagger Canaries or Argo AnalysisTemplates as dicts.
        regressions: what only makes slow is left out where no latency is promised.

    Raises:
        UsageError: the history is too short or has no requests, or a rule is not understood.
    """
    read = [read_rule(rule, analysis.slo.latency, steps=analysis.steps or RAMP) for rule in rules]
    seen = [one for one in regressions if not one.slow or analysis.slo.latency or one.errors]
    rows = rehearse(history, analysis, regressions=seen, rules=read, replays=replays)
    total = sum(block.canary.requests + block.stable.requests for block in history)
    return Rehearsal(tuple(rows), len(history), total, tuple(notes))


def history_of(service: Service, analysis: Analysis, seconds: float) -> tuple[list[Block], tuple[str, ...]]:
    """Return the blocks of a service's last `seconds`, as Prometheus remembers them, and notes on the bounds.

    Raises:
        UsageError: more than a day, or less than a block.
        NotFound: the platform names no Prometheus.
        ClusterError: it does not answer.
    """
    if not analysis.block <= seconds <= MOST:
        raise UsageError(
            f"a history of {seconds:g} s", expected=f"one block of {analysis.block:g} s to {MOST:g} s"
        )
    edges, notes = slo_edges(analysis.slo)
    prometheus = prometheus_of(service)
    counts = Counts(prometheus, service.name, service.namespace, edges, analysis.block)
    asked = selector(service.name, service.namespace, edges, seconds / 3)  # its window is three of these
    now = Clock().now()
    found = series(prometheus.samples(asked, timeout=_ANSWER))
    begin = min((one.points[0][0] for one in found), default=now)
    whole = int((now - begin) // analysis.block) * analysis.block
    blocks = read_blocks(
        found, start=now - whole, end=now, seconds=analysis.block, weight=0,
        version_of=counts.version_of, edges=edges,
    )  # fmt: skip
    return blocks, tuple(notes)


def recorded(place: str | os.PathLike[str]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Return the blocks of a rollout's evidence.jsonl, or of the directory that has it, and a note on them.

    Longer blocks, of times when nobody worked on it, are left out.

    Raises:
        UsageError: there is no such file.
    """
    path = Path(place)
    path = path / EVIDENCE if path.is_dir() else path
    try:
        with path.open() as lines:
            record = Record.read(lines)
    except OSError as error:
        raise UsageError(
            f"the record cannot be read: {error.strerror}", where=str(path), expected=EVIDENCE
        ) from None
    length = record.analysis.block
    whole = tuple(block for block, _ in record.entries if abs(block.seconds - length) < _EVEN)
    left = len(record.entries) - len(whole)
    note = f"{left} blocks longer than {length:g} s, when nobody worked on it, are left out"
    return whole, (note,) if left else ()
