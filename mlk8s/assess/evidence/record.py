"""A rollout as lines of JSON: the analysis, each block and what was decided then; replayed, it decides the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlk8s.assess.evidence.blocks import Block
from mlk8s.assess.evidence.decision import Decision
from mlk8s.spec.analysis import Analysis


@dataclass(frozen=True)
class Record:
    """What a rollout's file holds.

    Attributes:
        analysis: what the canary had to show.
        started: second since the epoch.
        entries: each block with the decision that followed it.
    """

    analysis: Analysis
    started: float
    entries: tuple[tuple[Block, Decision], ...]

    @staticmethod
    def head(analysis: Analysis, started: float) -> str:
        """Return the file's first line, with its line end."""
        raise NotImplementedError

    @staticmethod
    def line(block: Block, decision: Decision) -> str:
        """Return the line of one block, with its line end: append it and flush."""
        raise NotImplementedError

    @classmethod
    def read(cls, lines: Iterable[str]) -> Record:
        """Read lines; one that was cut off at the end is left out.

        Raises:
            UsageError: it is not such a file.
        """
        raise NotImplementedError

    def replay(self, analysis: Analysis | None = None) -> tuple[Decision, ...]:
        """Return the decision after each block, made anew; with another analysis: what it would have said."""
        raise NotImplementedError
