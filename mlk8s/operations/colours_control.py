"""The controller of a blue/green rollout: judged before the switch, and after it with a way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mlk8s.assess.evidence import Decision
from mlk8s.assess.evidence.words import duration_words
from mlk8s.errors import Mlk8sError, RolloutFailed, Unreachable, WaitTimeout
from mlk8s.operations.bluegreen_work import BlueGreenWork
from mlk8s.operations.rollout_judged import JudgedRollout, Settings
from mlk8s.operations.rollout_state import Packed, Request, Rollout
from mlk8s.render.bluegreen import identity, other

Outcome = Literal["promoted", "rolled back", "inconclusive", "failed"]
BEFORE, AFTER = 0, 100
"""Percent of the users' requests that the newer colour has before the switch, and after it."""


class ColoursControl(JudgedRollout):
    """Brings one blue/green rollout to its end.

    Args:
        packed: the evidence that the cluster has of the stage it is in.
        begun: called with the newer colour's weight when a stage begins, or is gone on with.
    """

    def __init__(
        self,
        work: BlueGreenWork,
        settings: Settings,
        rollout: Rollout,
        packed: Packed,
        begun: Callable[[int], None],
    ) -> None:
        newer = identity(work.name, work.newer).instance
        older = identity(work.name, other(work.newer)).instance
        super().__init__(work, settings, rollout, (newer, older))
        self.work, self._packed, self._begun = work, packed, begun

    def go(self) -> tuple[Rollout, Decision | None]:
        """Do what is left, to the end.

        Raises:
            As `run`.
        """
        work = self.work
        if self.rollout.stage == "starting":
            work.wait_ready(work.newer, self.set.timeout)
            self.tell.event(
                "ColourJudged", f"{work.newer}, {self.rollout.model}, is judged before the switch"
            )
            self._begin("before-switch", BEFORE)
        if self.rollout.stage == "before-switch":
            self._follow(BEFORE)
        if self.rollout.stage == "switching":
            self._switch(self.rollout.why)
        if self.rollout.stage == "after-switch":
            self._follow(AFTER)
        if self.rollout.stage == "rolling-back":
            self._go_back(self.rollout.why, str(self.rollout.outcome or "rolled back"))
        return self.rollout, self.decision

    # --- stages --------------------------------------------------------------------------------------

    def _begin(self, stage: Literal["before-switch", "after-switch"], weight: int) -> None:
        """Begin a stage: where the counters are, and nothing known yet."""
        while True:
            try:
                self.counts.baseline(self.clock.now())
                break
            except Mlk8sError as error:
                if isinstance(error, Unreachable) and self.lease.cut_off:
                    raise
                self._blind(f"Prometheus does not answer: {error.what}")
                if self.rollout.ended:
                    return
                self.wait(self.clock.now() + self.analysis.block)
                if self._answer(self.write()):
                    return
        self._packed = Packed()
        self.note(stage=stage, weight=weight, blind_since=None, unready_since=None, decision=None)
        self.counts.switched = stage == "after-switch"
        self.begin_blocks()
        self.tell.weight(weight)
        self.tell.begin(self.analysis, self.state, self.edges, [])
        self.write(packed=True)

    def _follow(self, weight: int) -> None:
        """Judge block after block until the stage is over."""
        self._begun(weight)
        self.counts.switched = weight == AFTER
        if self._packed.state is not None and not self.state.blocks:
            self.restore(self._packed)
        stage = self.rollout.stage
        while self.rollout.stage == stage:
            self._block(weight)

    def _block(self, weight: int) -> None:
        self.wait(self.end_of_block + self.analysis.block)
        if self.wish is not None:
            self._answer(None)
            return
        decision, cause = self.count(self.block_end(), weight)
        blind = None if cause is None else f"Prometheus does not answer: {cause}"
        self.show(weight, blind)
        if self._answer(self.write(packed=True)):
            return
        if blind is not None:
            self._blind(blind)
        elif self.rollout.blind_since is not None:
            self.say("Prometheus answers again")
            self.note(blind_since=None)
        if self.rollout.stage in ("before-switch", "after-switch") and self._serves(weight):
            self._act(decision, weight)

    def _act(self, decision: Decision, weight: int) -> None:
        """Do what a decision says; of a held rollout only what is safe."""
        verdict, held = decision.verdict, self.rollout.held
        if verdict == "inconclusive":
            self.tell_verdict("inconclusive")
            blind = self.rollout.blind_since is not None
            if decision.action == "promote" and held is None and not blind:
                self._promote(decision.reasons, weight)
            elif decision.action == "rollback" or blind:
                self._roll_back(decision.reasons, "inconclusive")
            else:
                self._end("inconclusive", decision.reasons)
        elif verdict == "rollback":
            self._roll_back(decision.reasons)
        elif verdict == "promote" and held is not None:
            self.say(f"would be promoted, but is held: {held}")
        elif verdict == "promote":
            self._promote(decision.reasons, weight)

    # --- what people and accidents do ----------------------------------------------------------------

    def _answer(self, request: Request | None) -> bool:
        """Do what was asked by another process or by the view; return whether the stage is over with it."""
        self.wish = self.wish or self.set.view.wish()
        wish, by = (request.wish, request.by) if request is not None else (self.wish, "whoever watches it")
        self.wish, stage = None, self.rollout.stage
        if wish is None:
            return False
        if request is not None:
            self.note(answered=request.id)
        self.say(f"{by} asks: {wish}")
        why = (f"{by} asked for it", *self.so_far())
        if wish == "promote":
            self._promote(why, self.rollout.weight)
        elif wish == "rollback":
            self._roll_back(why)
        else:
            self.note(held=why[0] if wish == "hold" else None)
            self.write()
            self.say("held: only a way back is taken by itself" if wish == "hold" else "goes on")
        return self.rollout.stage != stage

    def _blind(self, cause: str) -> None:
        now, since, limit = self.clock.now(), self.rollout.blind_since, self.set.blind
        if since is None:
            self.note(blind_since=now)
            self.write()
            text = (
                f"{cause}; nothing is switched meanwhile, and it is rolled back after {duration_words(limit)}"
            )
            self.say(text)
            self.tell.event("ColourBlind", text, warning=True)
        elif now - since >= limit:
            self._roll_back((f"nothing was seen of it for {duration_words(now - since)}", cause))

    def _serves(self, weight: int) -> bool:
        """Go back at once from a colour without a ready pod that has the users' requests."""
        found = self.work.deployment(self.work.newer) or {}
        if int((found.get("status") or {}).get("readyReplicas") or 0):
            return True
        if weight == AFTER:
            self._roll_back((f"none of the pods of {self.work.newer} is ready",))
        return False

    # --- ends ----------------------------------------------------------------------------------------

    def _promote(self, why: tuple[str, ...], weight: int) -> None:
        """Switch, or end where it was switched already."""
        if weight == BEFORE:
            self._switch(why)
            return
        self.note(why=tuple(why))
        self.tell_verdict("promote")
        self._end("promoted", why)

    def _switch(self, why: tuple[str, ...]) -> None:
        work = self.work
        self.note(stage="switching", why=tuple(why))
        self.write()
        self.say(f"switch: {'; '.join(why)}")
        try:
            if work.record is None or work.record.phase != "switched":
                work.move(work.newer, self.set.timeout)
                work.write("switched")
        except (RolloutFailed, WaitTimeout) as error:
            self._roll_back((f"the switch failed: {error.what}",))
            return
        self.tell.event("ColourSwitched", f"{work.newer} has all requests: {why[0]}")
        self._begin("after-switch", AFTER)

    def _roll_back(self, why: tuple[str, ...], outcome: str = "rolled back") -> None:
        self.note(stage="rolling-back", why=tuple(why), outcome=outcome)
        self.write()
        if outcome != "inconclusive":
            self.tell_verdict("rollback")
        self.say(f"roll back: {'; '.join(why)}")
        self._go_back(why, outcome)

    def _go_back(self, why: tuple[str, ...], outcome: str) -> None:
        """Give the users' requests to the older colour where it lost them; the newer one stays idle."""
        work = self.work
        if work.record is not None and work.record.phase in ("switched", "switching"):
            work.move(other(work.newer), self.set.timeout)
            work.write("preview")
        self.say(
            f"{work.live} has all requests; {work.newer} stays idle, to be looked at; "
            f"`mlk8s bluegreen finish {self.name}` removes it"
        )
        self._end(outcome, why)

    def _end(self, outcome: str, why: tuple[str, ...]) -> None:
        weight = AFTER if self.work.live == self.work.newer else BEFORE
        self.note(stage="ended", outcome=outcome, why=tuple(why), weight=weight, held=None)
        self.write()
        self.tell.weight(weight)
        reason = "Colour" + "".join(word.capitalize() for word in outcome.split())
        text = f"{self.rollout.model} {outcome}: {'; '.join(why)}"
        self.tell.event(reason, text, warning=outcome != "promoted")
