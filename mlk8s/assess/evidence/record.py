"""A rollout as lines of JSON: the analysis, each block, what was decided; replayed, it decides the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlk8s.assess.evidence.blocks import Block
from mlk8s.assess.evidence.decision import Decision
from mlk8s.assess.evidence.judge import Judge
from mlk8s.errors import UsageError
from mlk8s.spec.analysis import Analysis

FORMAT = "mlk8s canary evidence 1"


@dataclass(frozen=True)
class Record:
    """What a rollout's file holds.

    Attributes:
        analysis: what the canary had to show.
        started: second since the epoch.
        entries: each block with the decision that followed it.
        edges: by percentile, the histogram's edge in seconds that slow requests were counted at.
    """

    analysis: Analysis
    started: float
    entries: tuple[tuple[Block, Decision], ...]
    edges: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def head(analysis: Analysis, started: float, edges: Mapping[str, float] | None = None) -> str:
        """Return the file's first line, with its line end."""
        values = {"format": FORMAT, "started": started, "edges": dict(edges or analysis.slo.latency)}
        return _line(values | {"analysis": analysis.model_dump(mode="json", exclude_unset=True)})

    @staticmethod
    def line(block: Block, decision: Decision) -> str:
        """Return the line of one block, with its line end: append it and flush."""
        return _line({"block": block.to_dict(), "decision": decision.to_dict()})

    @classmethod
    def read(cls, lines: Iterable[str]) -> Record:
        """Read lines; a last one that was cut off is left out.

        Raises:
            UsageError: it is not such a file.
        """
        rows = _rows(lines)
        if not rows or rows[0].get("format") != FORMAT:
            found = rows[0].get("format") if rows else "nothing"
            raise UsageError(
                f"the first line says {found!r}", where="Record.read", expected=f"a file of {FORMAT!r}"
            )
        head = rows[0]
        try:
            entries = [
                (Block.from_dict(row["block"]), Decision.from_dict(row["decision"])) for row in rows[1:]
            ]
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"a line lacks {error}", where="Record.read", expected="block and decision"
            ) from None
        return cls(Analysis(**head["analysis"]), head["started"], tuple(entries), head["edges"])

    def replay(self, analysis: Analysis | None = None) -> tuple[Decision, ...]:
        """Return the decision after each block, made anew; with another analysis: what it would have said.

        Looks between blocks, and queries, are those of the recorded decisions.
        """
        judge = Judge(analysis or self.analysis, edges=self.edges)
        state = judge.start(self.started)
        found = []
        for block, before in self.entries:
            state = judge.step(state, block)
            found.append(judge.decide(state, before.at, before.queries))
        return tuple(found)

    def differences(self) -> list[str]:
        """Return where a replay decides otherwise than the file says: nowhere, unless one was changed."""
        found = []
        for number, ((_, before), now) in enumerate(zip(self.entries, self.replay(), strict=True), start=1):
            if replace(before, reasons=(), split="") != replace(now, reasons=(), split=""):
                found.append(f"block {number}: recorded {before.verdict}, replayed {now.verdict}")
        return found


def _rows(lines: Iterable[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    broken = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if broken:
            raise UsageError(
                f"line {number - 1} is not JSON", where="Record.read", expected="one object a line"
            )
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            broken = True  # the last one may have been cut off by a kill
            continue
        if not isinstance(row, dict):
            raise UsageError(f"line {number} is no object", where="Record.read", expected="one object a line")
        rows.append(row)
    return rows


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"
