"""The controller of one analysed rollout, under its Lease; each stage may be repeated by another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlk8s.assess.evidence import Decision
from mlk8s.errors import Conflict, Mlk8sError, RolledBack, RolloutFailed, Unreachable, WaitTimeout
from mlk8s.operations import canary_accidents as accidents
from mlk8s.operations import canary_ends as ends
from mlk8s.operations.canary import begin, check
from mlk8s.operations.canary_running import Running, Seen
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.spec.canary import Canary

_UNSEEN = 3
"""Blocks without a sample of the canary after which nobody sees it; a pod's first scrape may take one."""


class Controller:
    """Brings one rollout to its end.

    Args:
        packed: the evidence that the cluster has of it already.
    """

    def __init__(self, running: Running, packed: Packed) -> None:
        self._on, self._packed = running, packed
        self.rate: float | None = None
        """Requests to the API server a second from block to block."""

    def go(self) -> tuple[Rollout, Decision | None, float | None]:
        """Do what is left, to the end.

        Raises:
            As `run`.
        """
        on = self._on
        on.work.heed = accidents.heed(on)
        self._follow_record()
        if on.rollout.stage == "starting":
            self._start()
        if on.rollout.stage == "promoting":
            ends.promote(on, on.rollout.why)
        if on.rollout.stage == "analysing":
            self._analyse()
        if on.rollout.stage == "rolling-back":
            ends.roll_back(on, on.rollout.why, str(on.rollout.outcome or "rolled back"))
        return on.rollout, on.decision, self.rate

    def prepare(self) -> Rollout:
        """Refuse what can be refused before anything is made, and hand the rollout on to another process.

        Raises:
            As `run`.
        """
        on = self._on
        if on.rollout.stage == "starting":
            with self._failing():
                on.note(digest=check(on.work, self._canary).digest)
        on.write()
        return on.rollout

    # --- stages --------------------------------------------------------------------------------------

    @property
    def _canary(self) -> Canary:
        rollout = self._on.rollout
        return Canary(
            model=rollout.model,
            digest=rollout.digest,
            header=rollout.header,
            cookie=rollout.cookie,
            replicas=rollout.replicas,
        )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Write down that a rollout failed which could not be started."""
        try:
            yield
        except Mlk8sError as error:
            if not isinstance(error, Unreachable) and not self._on.work.lease.cut_off:
                ends.end(self._on, "failed", (error.what,))
            raise

    def _follow_record(self) -> None:
        """Finish what a verb by hand, or a start that failed, was killed in: it gets no weight again."""
        on, record = self._on, self._on.work.record
        if record is None or record.model != on.rollout.model:
            return
        if record.phase == "rolling-back" and on.rollout.stage in ("starting", "analysing", "promoting"):
            outcome = "failed" if on.rollout.stage == "starting" else "rolled back"
            on.note(stage="rolling-back", outcome=outcome, why=("its rollback had begun already",))
        elif record.phase == "promoting" and on.rollout.stage == "analysing":
            on.note(stage="promoting", why=("its promotion had begun already",))

    def _start(self) -> None:
        on = self._on
        rollout, record = on.rollout, on.work.record
        if record is None or record.phase == "starting":
            with self._failing():
                begin(on.work, self._canary, on.set.timeout)
        elif record.model != rollout.model:
            raise Conflict(
                f"{on.name} has a canary of {record.model}",
                where=f"namespace {on.work.namespace}",
                expected=f"that of {rollout.model}, which was being started",
                next_step=f"`mlk8s canary rollback {on.name}`",
            )
        on.tell.event("CanaryStarted", f"canary {rollout.model} is ready; its weight is 0")
        self._begin_blocks(on.analysis.first_weight)

    def _begin_blocks(self, weight: int) -> None:
        """Begin to count: where the counters are, then the first weight."""
        on = self._on
        if not self._baseline():
            return
        self._packed = Packed()  # of a process that was killed just here
        on.begin_blocks()
        on.note(blind_since=None, template=on.see().template)
        weight = weight if on.rollout.held is None else 0
        on.set_weight(weight, stage="analysing", packed=True)  # no evidence of another template is left
        on.tell.begin(on.analysis, on.state, on.edges, [])
        on.write()

    def _baseline(self) -> bool:
        """Read where the counters are; return False where the rollout ended before they could be read."""
        on = self._on
        while not accidents.answer(on, on.write()):
            try:
                on.counts.baseline(on.clock.now())
            except Mlk8sError as error:
                if isinstance(error, Unreachable) and on.work.lease.cut_off:
                    raise
                accidents.blind(on, f"Prometheus does not answer: {error.what}")
                if on.rollout.ended:
                    return False
                on.wait(on.clock.now() + on.analysis.block)
            else:
                return True
        return False

    def _analyse(self) -> None:
        on = self._on
        if on.work.record is None:
            ends.promote(on, ("somebody promoted it",))  # or removed it: that is looked at
            return
        if self._packed.state is not None and not on.state.blocks:
            on.restore(self._packed)
            accidents.settle(on)
        transport = on.work.cluster.transport
        sent, since = transport.sent, on.clock.now()
        while not on.rollout.ended:
            self._block()
            if on.rollout.stage == "analysing":
                self.rate = (transport.sent - sent) / (on.clock.now() - since)

    # --- a block -------------------------------------------------------------------------------------

    def _block(self) -> None:
        on = self._on
        on.wait(on.end_of_block + on.analysis.block)
        if on.wish is not None:
            accidents.answer(on, None)  # at once; the block goes on
            return
        end, seen = on.block_end(), on.see()
        if seen.template is None:
            ends.roll_back(on, ("the canary's Deployment is gone",))
            return
        if on.rollout.template is not None and seen.template != on.rollout.template:
            self._reset()
            return
        accidents.notice(on, seen)
        decision, blind = self._judge(end, seen)
        if accidents.answer(on, on.write(packed=True)):
            return
        if blind is not None:
            accidents.blind(on, blind)
        else:
            accidents.sees_again(on)
        if not on.rollout.ended and accidents.serves(on, seen):
            self._act(decision, seen)

    def _judge(self, end: float, seen: Seen) -> tuple[Decision, str | None]:
        """Count a block, decide on it and show it; return the decision, and why nothing was seen."""
        on = self._on
        decision, cause = on.count(end, seen.weight)
        blind = None if cause is None else f"Prometheus does not answer: {cause}"
        last = on.state.blocks[-_UNSEEN:]
        if cause is None and seen.ready and len(last) == _UNSEEN and all(one.missing for one in last):
            blind = last[-1].cause
        on.show(seen.weight, blind)
        return decision, blind

    def _act(self, decision: Decision, seen: Seen) -> None:
        """Do what a decision says; of a held rollout only what is safe."""
        on = self._on
        if decision.verdict == "inconclusive":
            ends.deadline(on, decision)
        elif decision.verdict == "rollback":
            ends.roll_back(on, decision.reasons)
        elif on.rollout.held is not None:
            if decision.verdict == "promote":
                on.say(f"would be promoted, but is held: {on.rollout.held}")
        elif decision.verdict == "promote":
            ends.promote(on, decision.reasons)
        elif decision.action == "weight" and decision.weight != seen.weight:
            try:
                on.set_weight(decision.weight, force=on.rollout.takes_over)
                on.note(takes_over=False)
            except Conflict as error:
                on.work.lease.check()
                accidents.hold(on, error.what)
                return
            on.tell.event("CanaryWeight", f"weight {decision.weight} %: {decision.reasons[0]}")

    def _reset(self) -> None:
        """Begin anew with another version: what was known is of the old one."""
        on, text = self._on, "the canary's pods were changed; the evidence begins anew"
        on.say(text)
        on.tell.event("CanaryReset", text, warning=True)
        on.set_weight(0, force=True)
        try:
            on.work.wait_canary(on.set.timeout)
        except (RolloutFailed, WaitTimeout) as error:
            ends.roll_back(on, (f"the canary's new pods are not ready: {error.what}",))
            return
        except RolledBack as error:
            ends.roll_back(on, (error.what,))
            return
        on.note(held=None, unready_since=None, decision=None)
        self._begin_blocks(on.analysis.first_weight)
