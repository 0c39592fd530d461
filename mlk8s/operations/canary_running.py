"""A canary's rollout that is being worked on: what the cluster holds of it, its weight, and its ends."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from mlk8s.assess.canary import last_writer
from mlk8s.assess.evidence import Decision
from mlk8s.errors import Conflict, RolloutFailed, WaitTimeout
from mlk8s.operations.canary import finish, undo
from mlk8s.operations.canary_look import rule_name, selector
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.rollout_control import ControlledRollout, Seen
from mlk8s.operations.rollout_ends import Words
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Rollout, Stage
from mlk8s.render.common import Identity


class Running(ControlledRollout):
    """The rollout of one canary."""

    def __init__(self, work: CanaryWork, settings: Settings, rollout: Rollout) -> None:
        super().__init__(work, settings, rollout, (Identity(work.name, "canary").instance, work.name))
        self.work = work
        self.words = Words(
            event="Canary",
            new="the canary",
            pods="the canary's pods",
            held=f"only a rollback is done by itself until `mlk8s canary resume {work.name}`",
            blind="the weight is held, and the canary rolled back",
            unready="it gets no requests until one is",
            back="weight 0, then no canary",
            abort=f"`mlk8s canary rollback {work.name}`",
        )

    # --- the weight ----------------------------------------------------------------------------------

    def set_weight(
        self, weight: int, *, force: bool = False, stage: Stage | None = None, packed: bool = False
    ) -> None:
        """Write down the weight that is meant, with the blocks where `packed`, set it, and write that down.

        Raises:
            Conflict: somebody else set it, and not `force`.
        """
        record = self.work.record
        if record is None:
            raise AssertionError("a weight is set of a canary that is recorded")
        before = self.rollout
        self.note(weight=weight)
        self.write(packed=packed)
        try:
            self.work.set_weight(weight, force=force)
        except Conflict:
            self.rollout = before
            raise
        self.work.write(record, weight=weight)
        self.tell.weight(weight)
        if stage is not None:
            self.note(stage=stage)

    def see(self) -> Seen:
        """Return what the cluster holds now."""
        work = self.work
        rule = work.cluster.find(work.rule.kind, rule_name(work.rule, self.name), work.namespace)
        found = work.cluster.list("Deployment", work.namespace, labels=selector(self.name))
        ready = int((found[0].get("status") or {}).get("readyReplicas") or 0) if found else 0
        template = _digest(found[0]["spec"]["template"]) if found else None
        weight = (work.rule.weight(rule) or 0) if rule is not None else 0
        return Seen(weight, ready, last_writer(rule), template)

    def weigh(self, decision: Decision) -> None:
        """Set the weight that was decided on, where nobody else has set another one."""
        try:
            self.set_weight(decision.weight, force=self.rollout.takes_over)
            self.note(takes_over=False)
        except Conflict as error:
            self.lease.check()
            self.hold(error.what)
            return
        self.tell.event("CanaryWeight", f"weight {decision.weight} %: {decision.reasons[0]}")

    def stop_serving(self) -> None:
        self.set_weight(0, force=True)

    def serve_again(self) -> None:
        if self.rollout.held is None:
            self.set_weight(self.analysis.first_weight)

    def release(self) -> None:
        """Go on with the weight that is there; before the first block there is none yet."""
        if self.rollout.stage == "starting":
            self.note(held=None)
            return
        seen = self.see()
        weight = seen.weight or (self.analysis.first_weight if seen.ready else 0)  # nothing is learnt at 0
        self.note(held=None, takes_over=True)
        self.set_weight(weight, force=True)
        self.say(f"goes on with weight {self.rollout.weight}")
        self.tell.event("CanaryResumed", f"goes on with weight {self.rollout.weight} %")

    def settle(self) -> None:
        """Do what the last process meant to, where it was killed between writing a weight and setting it."""
        seen, record, meant = self.see(), self.work.record, self.rollout.weight
        if record is None or seen.template is None or seen.template != self.rollout.template:
            return  # the first block deals with it
        if not self.serves(seen) or self.rollout.weight != meant:
            return
        if seen.weight == meant and record.weight != meant and self.rollout.held is None:
            self.work.write(record, weight=meant)
        elif seen.weight != meant and seen.weight == record.weight:
            try:
                self.set_weight(meant, force=meant < seen.weight or self.rollout.takes_over)
            except Conflict as error:
                self.lease.check()
                self.hold(error.what)

    def notice(self, seen: Seen) -> None:
        """Tell of a weight that somebody else set, and leave it."""
        meant = self.rollout.weight
        if seen.weight == meant:
            return
        who = f" by {seen.manager}" if seen.manager else ""
        self.note(weight=seen.weight)
        self.hold(f"the weight was set from {meant} to {seen.weight}{who}")

    # --- ends ----------------------------------------------------------------------------------------

    def promote(self, why: tuple[str, ...]) -> None:
        """Give all requests to the canary's version; where its pods do not become ready, roll back.

        What has no ready pod is not promoted: it is analysed further.
        """
        record = self.work.record
        if record is None and not self._arrived():
            return
        if record is not None and record.phase == "running" and not self.see().ready:
            self.say(f"not promoted: none of {self.words.pods} is ready")
            if self.rollout.stage == "promoting":
                self.note(stage="analysing")
            return
        self.note(stage="promoting", why=tuple(why))
        self.write()
        self.tell_verdict("promote")
        self.say(f"promote: {'; '.join(why)}")
        if record is not None:  # else all of it was done before this process
            try:
                finish(self.work, self.set.timeout)
            except (RolloutFailed, WaitTimeout) as error:
                self.say(f"the promotion failed: {error}")
                self.roll_back((f"the promotion failed: {error.what}",))
                return
        self.end("promoted", why)

    def _arrived(self) -> bool:
        """Whether the service has the canary's version by now; else somebody removed it, and it ends."""
        if self.work.stable.model == self.rollout.model:
            return True
        self.end("failed", ("the canary's record is gone: somebody removed it",))
        return False

    def make_way(self, *, written: bool) -> None:
        """Take back what is left of another rollout, and write down that this is done where it is `written`.

        Raises:
            ClusterError: it could not be done.
        """
        if written:
            why = ("another rollout was started, and nobody worked on this one",)
            self.note(stage="rolling-back", weight=0, why=why, outcome="rolled back", held=None)
            self.write()
        self.take_back()

    def undo(self) -> None:
        """Take the requests from the canary, then the canary."""
        undo(self.work, self.set.timeout)

    def by_hand(self) -> str:
        return self.work.rule.by_hand(rule_name(self.work.rule, self.name), self.work.namespace)

    def weight_after(self, outcome: str) -> int:
        """Return 0, but where it stays, undecided."""
        return self.rollout.weight if outcome == "inconclusive" and self.rollout.stage == "analysing" else 0


def _digest(template: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
