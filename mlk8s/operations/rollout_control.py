"""What is done about a judged rollout, whatever its kind: block by block, wishes, no evidence, no pods."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from mlk8s.assess.evidence import Decision
from mlk8s.assess.evidence.words import duration_words
from mlk8s.errors import Mlk8sError, RolledBack, Unreachable
from mlk8s.operations.rollout_ends import EndingRollout
from mlk8s.operations.rollout_state import Request

_HEED = 2.0
"""Seconds from look to look for a wish while pods are waited for."""
_UNSEEN = 3
"""Blocks without a sample of the new version after which nobody sees it; a first scrape may take one."""


@dataclass(frozen=True)
class Seen:
    """What the cluster holds of the new version: its weight, ready pods, who set the weight last, and the
    hash of the template; the last two are a canary's."""

    weight: int
    ready: int
    manager: str | None = None
    template: str | None = None


class ControlledRollout(EndingRollout):
    """A rollout that is brought to its end.

    Attributes:
        rate: requests to the API server a second from block to block; None before the second block.
    """

    rate: float | None = None

    # --- what differs by kind ------------------------------------------------------------------------

    @abstractmethod
    def see(self) -> Seen:
        """Return what the cluster holds now."""

    def look(self) -> Seen | None:
        """Return what is there at the end of a block; None where the block counts for nothing."""
        return self.see()

    def weigh(self, decision: Decision) -> None:
        """Change the weight as decided, where the kind has weights between none and all."""

    def stop_serving(self) -> None:
        """Take the requests from a new version without a ready pod, where it has any."""

    def serve_again(self) -> None:
        """Give it requests again, now that a pod is ready."""

    # --- from block to block -------------------------------------------------------------------------

    def baseline(self) -> bool:
        """Read where the counters are; return False where the stage was over before they could be read."""
        while not self.answer(self.write()):
            try:
                self.counts.baseline(self.clock.now())
            except Mlk8sError as error:
                if isinstance(error, Unreachable) and self.lease.cut_off:
                    raise
                self.blind(f"Prometheus does not answer: {error.what}")
                if self.rollout.ended:
                    return False
                self.wait(self.clock.now() + self.analysis.block)
            else:
                return True
        return False

    def follow(self) -> None:
        """Judge block after block until the stage is over."""
        transport, stage = self.cluster.transport, self.rollout.stage
        sent, since = transport.sent, self.clock.now()
        while self.rollout.stage == stage:
            self._block()
            if self.rollout.stage == stage:
                self.rate = (transport.sent - sent) / (self.clock.now() - since)

    def _block(self) -> None:
        """Wait for the next block, and do what follows from it."""
        self.wait(self.end_of_block + self.analysis.block)
        if self.wish is not None:
            self.answer(None)  # at once; the block goes on
            return
        end, seen = self.block_end(), self.look()
        if seen is None:
            return
        decision, blind = self._judge(end, seen)
        if self.answer(self.write(packed=True)):
            return
        if blind is not None:
            self.blind(blind)
        else:
            self.sees_again()
        if not self.rollout.ended and self.serves(seen):
            self._act(decision, seen)

    def _judge(self, end: float, seen: Seen) -> tuple[Decision, str | None]:
        """Count a block, decide on it and show it; return the decision, and why nothing was seen."""
        decision, cause = self.count(end, seen.weight)
        blind = None if cause is None else f"Prometheus does not answer: {cause}"
        last = self.state.blocks[-_UNSEEN:]
        if cause is None and seen.ready and len(last) == _UNSEEN and all(one.missing for one in last):
            blind = last[-1].cause.replace("the canary's pods", self.words.pods)
        self.show(seen.weight, blind)
        return decision, blind

    def _act(self, decision: Decision, seen: Seen) -> None:
        """Do what a decision says; of a held rollout only what is safe."""
        if decision.verdict == "inconclusive":
            self.deadline(decision)
        elif decision.verdict == "rollback":
            self.roll_back(decision.reasons)
        elif self.rollout.held is not None:
            if decision.verdict == "promote":
                self.say(f"would be promoted, but is held: {self.rollout.held}")
        elif decision.verdict == "promote":
            self.promote(decision.reasons)
        elif decision.action == "weight" and decision.weight != seen.weight:
            self.weigh(decision)

    # --- wishes --------------------------------------------------------------------------------------

    def answer(self, request: Request | None) -> bool:
        """Do what was asked by another process or by the view; return whether the stage is over with it."""
        self.wish = self.wish or self.set.view.wish()
        wish, by = (request.wish, request.by) if request is not None else (self.wish, "whoever watches it")
        self.wish, stage = None, self.rollout.stage
        if wish is None:
            return False
        if request is not None:
            self.note(answered=request.id)
        self.say(f"{by} asks: {wish}")
        if wish == "promote":
            self.promote((f"{by} asked for it", *self.so_far()))
        elif wish == "rollback":
            self.roll_back((f"{by} asked for it", *self.so_far()))
        elif wish == "hold":
            self.hold(f"{by} asked for it")
        else:
            self.release()
        return self.rollout.stage != stage

    def heed(self) -> Callable[[], None]:
        """Return what looks, while pods are waited for, whether a rollback is asked for; others can wait.

        It raises RolledBack where one is.
        """
        last = time.monotonic()

        def look() -> None:
            nonlocal last
            self.lease.check()
            self.wish = self.wish or self.set.view.wish()
            if self.wish != "rollback" and time.monotonic() - last < _HEED:
                return
            last = time.monotonic()
            request = self.write()
            by = request.by if request is not None and request.wish == "rollback" else None
            if by is None and self.wish == "rollback":
                by = "whoever watches it"
            if by is not None:
                self.say(f"{by} asks: rollback")
                raise RolledBack(f"{by} asked for it", where=f"namespace {self.namespace}")

        return look

    def hold(self, why: str) -> None:
        """Let the requests and the version stay as they are, except for a rollback."""
        self.note(held=why)
        self.write()
        self.say(f"held: {why}; {self.words.held}")
        self.tell.event(f"{self.words.event}Held", why, warning=True)

    def release(self) -> None:
        """Go on by itself."""
        self.note(held=None)
        self.write()
        self.say("goes on")
        self.tell.event(f"{self.words.event}Resumed", "goes on")

    # --- no evidence, no pods ------------------------------------------------------------------------

    def blind(self, cause: str) -> None:
        """Change nothing while nothing is seen, and roll back when that lasts too long.

        Args:
            cause: the sentence that says who does not see it.
        """
        now, since, limit = self.clock.now(), self.rollout.blind_since, self.set.blind
        if since is None:
            self.note(blind_since=now)
            self.write()
            text = f"{cause}; {self.words.blind} after {duration_words(limit)}"
            self.say(text)
            self.tell.event(f"{self.words.event}Blind", text, warning=True)
        elif now - since >= limit:
            unseen = f"nothing was seen of it for {duration_words(now - since)}"
            self.roll_back((f"{unseen}: what nobody sees gets no requests", cause))

    def sees_again(self) -> None:
        """Take note that Prometheus answers."""
        if self.rollout.blind_since is not None:
            self.say(f"Prometheus sees {self.words.new} again")
            self.note(blind_since=None)

    def serves(self, seen: Seen) -> bool:
        """Take the requests from a new version without a ready pod; return whether it serves.

        What the ingress controller answers in its place is counted by no server.
        """
        since, now = self.rollout.unready_since, self.clock.now()
        if seen.ready:
            if since is not None:
                self.note(unready_since=None)
                self.say(f"{self.words.pods} are ready again")
                self.serve_again()
            return True
        if since is None:
            self.note(unready_since=now)
            text = f"none of {self.words.pods} is ready"
            self.say(f"{text}: {self.words.unready}")
            self.tell.event(f"{self.words.event}Unready", f"{text}: weight 0", warning=True)
            self.stop_serving()
        elif seen.weight:  # the process that wrote it down did not get to it
            self.stop_serving()
        elif now - since >= self.set.blind:
            self.roll_back((f"none of {self.words.pods} was ready for {duration_words(now - since)}",))
        return False
