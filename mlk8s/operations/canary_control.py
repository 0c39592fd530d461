"""The controller of one analysed rollout, under its Lease; each stage may be repeated by another process."""

from __future__ import annotations

from mlk8s.assess.evidence import Decision
from mlk8s.errors import Conflict, RolledBack, RolloutFailed, WaitTimeout
from mlk8s.operations.canary import begin, check
from mlk8s.operations.canary_running import Running
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.rollout_control import Seen
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.spec.canary import Canary


class Controller(Running):
    """Brings one rollout to its end.

    Args:
        packed: the evidence that the cluster has of it already.
    """

    def __init__(
        self, work: CanaryWork, settings: Settings, rollout: Rollout, packed: Packed | None = None
    ) -> None:
        super().__init__(work, settings, rollout)
        self._packed = packed or Packed()

    def go(self) -> tuple[Rollout, Decision | None, float | None]:
        """Do what is left, to the end.

        Raises:
            As `run`.
        """
        self.work.heed = self.heed()
        self._follow_record()
        if self.rollout.stage == "starting":
            self._start()
        if self.rollout.stage == "promoting":
            self.promote(self.rollout.why)
        if self.rollout.stage == "analysing":
            self._analyse()
        if self.rollout.stage == "rolling-back":
            self.roll_back(self.rollout.why, str(self.rollout.outcome or "rolled back"))
        return self.rollout, self.decision, self.rate

    def prepare(self) -> Rollout:
        """Refuse what can be refused before anything is made, and hand the rollout on to another process.

        Raises:
            As `run`.
        """
        if self.rollout.stage == "starting":
            with self.failing():
                self.note(digest=check(self.work, self._canary).digest)
        self.write()
        return self.rollout

    # --- stages --------------------------------------------------------------------------------------

    @property
    def _canary(self) -> Canary:
        rollout = self.rollout
        return Canary(
            model=rollout.model,
            digest=rollout.digest,
            header=rollout.header,
            cookie=rollout.cookie,
            replicas=rollout.replicas,
        )

    def _follow_record(self) -> None:
        """Finish what a verb by hand, or a start that failed, was killed in: it gets no weight again."""
        record = self.work.record
        if record is None or record.model != self.rollout.model:
            return
        if record.phase == "rolling-back" and self.rollout.stage in ("starting", "analysing", "promoting"):
            outcome = "failed" if self.rollout.stage == "starting" else "rolled back"
            self.note(stage="rolling-back", outcome=outcome, why=("its rollback had begun already",))
        elif record.phase == "promoting" and self.rollout.stage == "analysing":
            self.note(stage="promoting", why=("its promotion had begun already",))

    def _start(self) -> None:
        rollout, record = self.rollout, self.work.record
        if record is None or record.phase == "starting":
            with self.failing():
                begin(self.work, self._canary, self.set.timeout)
        elif record.model != rollout.model:
            raise Conflict(
                f"{self.name} has a canary of {record.model}",
                where=f"namespace {self.work.namespace}",
                expected=f"that of {rollout.model}, which was being started",
                next_step=f"`mlk8s canary rollback {self.name}`",
            )
        self.tell.event("CanaryStarted", f"canary {rollout.model} is ready; its weight is 0")
        self._begin_blocks(self.analysis.first_weight)

    def _begin_blocks(self, weight: int) -> None:
        """Begin to count: where the counters are, then the first weight."""
        if not self.baseline():
            return
        self._packed = Packed()  # of a process that was killed just here
        self.count_anew()
        self.note(blind_since=None, template=self.see().template)
        weight = weight if self.rollout.held is None else 0
        self.set_weight(weight, stage="analysing", packed=True)  # no evidence of another template is left
        self.tell.begin(self.analysis, self.state, self.edges, [])
        self.write()

    def _analyse(self) -> None:
        if self.work.record is None:
            self.promote(("somebody promoted it",))  # or removed it: that is looked at
            return
        if self._packed.state is not None and not self.state.blocks:
            self.restore(self._packed)
            self.settle()
        self.follow()

    # --- a block -------------------------------------------------------------------------------------

    def look(self) -> Seen | None:
        """Return what is there; None where it is gone, or where the evidence begins anew."""
        seen = self.see()
        if seen.template is None:
            self.roll_back(("the canary's Deployment is gone",))
            return None
        if self.rollout.template is not None and seen.template != self.rollout.template:
            self._reset()
            return None
        self.notice(seen)
        return seen

    def _reset(self) -> None:
        """Begin anew with another version: what was known is of the old one."""
        text = "the canary's pods were changed; the evidence begins anew"
        self.say(text)
        self.tell.event("CanaryReset", text, warning=True)
        self.set_weight(0, force=True)
        try:
            self.work.wait_canary(self.set.timeout)
        except (RolloutFailed, WaitTimeout) as error:
            self.roll_back((f"the canary's new pods are not ready: {error.what}",))
            return
        except RolledBack as error:
            self.roll_back((error.what,))
            return
        self.note(held=None, unready_since=None, decision=None)
        self._begin_blocks(self.analysis.first_weight)
