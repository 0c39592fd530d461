"""The controller of a blue/green rollout: judged before the switch, and after it with a way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mlk8s.assess.evidence import Decision
from mlk8s.errors import RolledBack, RolloutFailed, WaitTimeout
from mlk8s.operations.bluegreen_work import BlueGreenWork
from mlk8s.operations.rollout_control import ControlledRollout, Seen
from mlk8s.operations.rollout_ends import Words
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.render.bluegreen import by_hand, identity, other

BEFORE, AFTER = 0, 100
"""Percent of the users' requests that the newer colour has before the switch, and after it."""


class ColoursControl(ControlledRollout):
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
        newer, older = work.newer, other(work.newer)
        pods = identity(work.name, newer).instance, identity(work.name, older).instance
        super().__init__(work, settings, rollout, pods)
        self.work, self._packed, self._begun = work, packed, begun
        self.words = Words(
            event="Colour",
            new=newer,
            pods=f"the pods of {newer}",
            held="only a way back is taken by itself",
            blind="nothing is switched meanwhile, and it is rolled back",
            unready="nothing is switched until one is",
            back=f"all requests at {older}",
            abort=f"`mlk8s bluegreen abort {work.name}`",
        )

    def go(self) -> tuple[Rollout, Decision | None, float | None]:
        """Do what is left, to the end.

        Raises:
            As `run`.
        """
        self.work.heed = self.heed()
        if self.rollout.stage == "starting":
            self._start()
        if self.rollout.stage == "before-switch":
            self._judge_at(BEFORE)
        if self.rollout.stage == "switching":
            self._switch(self.rollout.why)
        if self.rollout.stage == "after-switch":
            self._judge_at(AFTER)
        if self.rollout.stage == "rolling-back":
            self.roll_back(self.rollout.why, str(self.rollout.outcome or "rolled back"))
        return self.rollout, self.decision, self.rate

    # --- stages --------------------------------------------------------------------------------------

    def _start(self) -> None:
        work = self.work
        with self.failing():
            try:
                work.wait_ready(work.newer, self.set.timeout)
            except RolledBack as error:
                self.roll_back((error.what,))
                return
        self.tell.event("ColourJudged", f"{work.newer}, {self.rollout.model}, is judged before the switch")
        self._begin("before-switch", BEFORE)

    def _begin(self, stage: Literal["before-switch", "after-switch"], weight: int) -> None:
        """Begin a stage: where the counters are, and nothing known yet."""
        if not self.baseline():
            return
        self._packed = Packed()
        self.note(stage=stage, weight=weight, blind_since=None, unready_since=None, decision=None)
        self.counts.switched = stage == "after-switch"
        self.count_anew()
        self.tell.weight(weight)
        self.tell.begin(self.analysis, self.state, self.edges, [])
        self.write(packed=True)

    def _judge_at(self, weight: int) -> None:
        """Judge block after block until the stage is over."""
        self._begun(weight)
        self.counts.switched = weight == AFTER
        if self._packed.state is not None and not self.state.blocks:
            self.restore(self._packed)
        self.follow()

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
            self.roll_back((f"the switch failed: {error.what}",))
            return
        except RolledBack as error:
            self.roll_back((error.what,))
            return
        self.tell.event("ColourSwitched", f"{work.newer} has all requests: {why[0]}")
        self._begin("after-switch", AFTER)

    # --- what a colour does its own way --------------------------------------------------------------

    def see(self) -> Seen:
        found = self.work.deployment(self.work.newer) or {}
        return Seen(self.rollout.weight, int((found.get("status") or {}).get("readyReplicas") or 0))

    def serves(self, seen: Seen) -> bool:
        """Go back at once from a colour without a ready pod that has the users' requests."""
        if seen.weight and not seen.ready:
            self.roll_back((f"none of {self.words.pods} is ready",))
            return False
        return super().serves(seen)

    def promote(self, why: tuple[str, ...]) -> None:
        """Switch, or end where it was switched already; what has no ready pod is not switched to."""
        if self.rollout.stage in ("switching", "after-switch"):
            self.note(why=tuple(why))
            self.tell_verdict("promote")
            self.end("promoted", why)
        elif self.see().ready:
            self._switch(why)
        else:
            self.say(f"not promoted: none of {self.words.pods} is ready")

    def undo(self) -> None:
        """Give the users' requests to the older colour where it lost them; the newer one stays idle."""
        work = self.work
        work.heed = work.lease.check  # it is the way back that is waited for
        if work.record is not None and work.record.phase in ("switched", "switching"):
            work.move(other(work.newer), self.set.timeout)
            work.write("preview")
        self.say(
            f"{work.live} has all requests; {work.newer} stays idle, to be looked at; "
            f"`mlk8s bluegreen finish {self.name}` removes it"
        )

    def by_hand(self) -> str:
        return by_hand(self.name, self.namespace, other(self.work.newer))

    def weight_after(self, outcome: str) -> int:  # noqa: ARG002
        """Return what it has, whatever the outcome."""
        return AFTER if self.work.live == self.work.newer else BEFORE
