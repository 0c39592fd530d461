"""The judge: a state and a block in, a state out; a decision at any time. Pure; at most 5 ms a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlk8s.assess.evidence.blocks import Block
from mlk8s.assess.evidence.decision import Decision
from mlk8s.spec.analysis import Analysis


@dataclass(frozen=True)
class State:
    """Everything that the judge knows: when it began, and the blocks until now.

    Attributes:
        started: second since the epoch at which the canary first got requests.
        blocks: all blocks, in order.
        weight: percent that was recommended last.
    """

    started: float
    blocks: tuple[Block, ...]
    weight: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `Judge.restore` reads them."""
        raise NotImplementedError


class Judge:
    """Judges one rollout.

    Args:
        analysis: what the canary has to show.
        edges: by percentile, the histogram's edge in seconds that its slow requests are counted at.
    """

    def __init__(self, analysis: Analysis, *, edges: Mapping[str, float] | None = None) -> None:
        self.analysis = analysis

    def start(self, at: float) -> State:
        """Return the state before the first block."""
        raise NotImplementedError

    def step(self, state: State, block: Block) -> State:
        """Return the state after one more block.

        Raises:
            UsageError: the block begins before the last one ended.
        """
        raise NotImplementedError

    def decide(
        self, state: State, now: float | None = None, queries: Mapping[str, str] | None = None
    ) -> Decision:
        """Return what to do now, and why. `now`: second since the epoch; by default the last block's end."""
        raise NotImplementedError

    def restore(self, values: Mapping[str, Any]) -> State:
        """Return the state that `State.to_dict` wrote."""
        raise NotImplementedError


def decide(blocks: Iterable[Block], analysis: Analysis, now: float | None = None) -> Decision:
    """Return the decision after all blocks, in one call."""
    raise NotImplementedError
