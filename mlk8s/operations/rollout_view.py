"""How a rollout ended, and what shows it while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlk8s.assess.evidence import Decision, Record
from mlk8s.assess.rollout_words import Progress
from mlk8s.errors import UsageError
from mlk8s.operations.rollout_state import Wish
from mlk8s.operations.rollout_tell import EVIDENCE

if TYPE_CHECKING:
    from mlk8s.operations.canary_watch import Watched

Say = Callable[[str], None]


@dataclass(frozen=True, repr=False)
class CanaryResult:
    """How a rollout ended.

    Attributes:
        service, model: what was tried.
        outcome: 'promoted', 'rolled back', or 'inconclusive': time was up, and `decision.action` says what
            was done; 'failed' where the canary was removed by somebody else.
        why: sentences with their numbers.
        decision: the last decision; None where it ended before the first block.
        directory: of evidence.jsonl, which `Record.read` and `mlk8s canary replay` take.
        seconds: that this process worked on it.
        api_calls: requests to the API server in that time, those to Prometheus included.
        api_rate: requests a second from block to block: without start and end; None before the second block.
    """

    service: str
    model: str
    outcome: str
    why: tuple[str, ...]
    decision: Decision | None
    directory: Path
    seconds: float
    api_calls: int
    api_rate: float | None

    @property
    def promoted(self) -> bool:
        """Whether the new version has all requests."""
        return self.outcome == "promoted"

    @property
    def record(self) -> Record | None:
        """Its blocks and decisions, as its directory has them; None where it ended before the first one."""
        try:
            with (self.directory / EVIDENCE).open() as lines:
                return Record.read(lines)
        except (OSError, UsageError):
            return None

    def __repr__(self) -> str:
        return str(self)  # the decision's many numbers are for programs

    def __str__(self) -> str:
        lines = [f"{self.service}: {self.model} {self.outcome}", *(f"  {one}" for one in self.why)]
        return "\n".join([*lines, f"  evidence: {self.directory}"])


class View(Protocol):
    """What shows a rollout while it goes on."""

    def show(self, progress: Progress) -> None:
        """Show a block."""
        ...

    def wish(self) -> Wish | None:
        """Return what the user asked for since the last call."""
        ...

    def end(self, result: CanaryResult | Watched | None) -> None:
        """Leave what stays, of a rollout or of a watched one; None where it was broken off."""
        ...


class Lines:
    """One plain line a block."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def show(self, progress: Progress) -> None:
        self._say(str(progress))

    def wish(self) -> Wish | None:
        return None

    def end(self, result: CanaryResult | Watched | None) -> None:
        """Leave nothing: the lines stay."""
