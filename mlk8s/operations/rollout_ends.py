"""How a judged rollout ends, whatever its kind: the way back, tried again; the deadline; what is told."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlk8s.assess.evidence import Decision
from mlk8s.errors import ClusterError, Mlk8sError, Unreachable
from mlk8s.operations.rollout_judged import JudgedRollout

_ATTEMPTS = 5


@dataclass(frozen=True)
class Words:
    """What a kind of rollout calls its own.

    Attributes:
        event: how the reasons of its Events begin.
        new: the new version.
        pods: those of it.
        held: what is done all the same while it is held.
        blind, unready: what is done while nobody sees it, and while none of its pods is ready.
        back: what there is after the way back.
        abort: the command that goes back.
    """

    event: str
    new: str
    pods: str
    held: str
    blind: str
    unready: str
    back: str
    abort: str


class EndingRollout(JudgedRollout, ABC):
    """A rollout that can be ended; each way may be repeated by another process.

    Attributes:
        words: those of its kind.
    """

    words: Words

    # --- what differs by kind ------------------------------------------------------------------------

    @abstractmethod
    def promote(self, why: tuple[str, ...]) -> None:
        """Give the new version all requests; a colour that has them keeps them."""

    @abstractmethod
    def undo(self) -> None:
        """Go the way back once."""

    @abstractmethod
    def by_hand(self) -> str:
        """Return the kubectl command that takes the requests from the new version."""

    @abstractmethod
    def weight_after(self, outcome: str) -> int:
        """Return the percent that the new version is left with."""

    # --- what does not -------------------------------------------------------------------------------

    def roll_back(self, why: tuple[str, ...], outcome: str = "rolled back") -> None:
        """Take the requests from the new version.

        Raises:
            ClusterError: it could not be done.
        """
        first = self.rollout.stage != "rolling-back"
        self.note(stage="rolling-back", weight=0, why=tuple(why), outcome=outcome)
        self.write()
        if first and outcome != "inconclusive":
            self.tell_verdict("rollback")
        self.say(f"roll back: {'; '.join(why)}")
        self.take_back()
        self.end(outcome, why)

    def take_back(self) -> None:
        """Go the way back; what fails is tried again, and told each time.

        Raises:
            ClusterError: it failed each time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.undo()
                break
            except Unreachable:
                raise
            except Mlk8sError as error:
                self.lease.check()
                text = f"ROLLBACK FAILED (attempt {attempt} of {_ATTEMPTS}): {error.what}"
                self.say(text)
                self.say(f"by hand: {self.by_hand()}")
                self.tell.event(f"{self.words.event}RollbackFailed", text, warning=True)
                if attempt == _ATTEMPTS:
                    raise ClusterError(
                        f"{self.words.new} of {self.name} could not be rolled back: {error.what}",
                        where=error.where,
                        expected=self.words.back,
                        next_step=f"{self.by_hand()}; then {self.words.abort}",
                    ) from error
                time.sleep(2.0 ** (attempt - 1))

    def deadline(self, decision: Decision) -> None:
        """Do what the user chose for the case that time is up; what nobody sees is not promoted."""
        self.tell_verdict("inconclusive")
        blind = self.rollout.blind_since is not None
        if decision.action == "promote" and self.rollout.held is None and not blind:
            self.promote(decision.reasons)
        elif decision.action == "rollback" or blind:
            self.roll_back(decision.reasons, "inconclusive")
        else:
            self.end("inconclusive", decision.reasons)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Write down that a rollout failed which could not be started."""
        try:
            yield
        except Mlk8sError as error:
            if not isinstance(error, Unreachable) and not self.lease.cut_off:
                self.end("failed", (error.what,))
            raise

    def end(self, outcome: str, why: tuple[str, ...]) -> None:
        """Write down and tell how it ended."""
        weight = self.weight_after(outcome)
        self.note(stage="ended", outcome=outcome, why=tuple(why), weight=weight, held=None)
        self.write()
        self.tell.weight(weight)
        reason = self.words.event + "".join(word.capitalize() for word in outcome.split())
        text = f"{self.rollout.model} {outcome}: {'; '.join(why)}"
        self.tell.event(reason, text, warning=outcome != "promoted")
