"""The controller of one analysed rollout, under its Lease; each stage may be repeated by another process."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from mlk8s.assess.canary import last_writer
from mlk8s.assess.evidence import Block, Cursor, Decision, Judge, slo_edges
from mlk8s.assess.evidence.words import duration_words
from mlk8s.assess.rollout_words import Progress
from mlk8s.clients.clock import Clock
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import (
    ClusterError,
    Conflict,
    Mlk8sError,
    RolloutFailed,
    Unreachable,
    WaitTimeout,
)
from mlk8s.operations import rollout_state
from mlk8s.operations.canary import begin, finish, undo
from mlk8s.operations.canary_counts import Counts
from mlk8s.operations.canary_look import rule_name, selector
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.rollout_state import Packed, Request, Rollout, Stage, Wish
from mlk8s.operations.rollout_tell import Teller
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.canary import Canary

if TYPE_CHECKING:
    from mlk8s.operations.canary_run import View

_ATTEMPTS = 5
_TICK = 0.2


@dataclass(frozen=True)
class Plan:
    """What a new rollout is to do."""

    canary: Canary
    analysis: Analysis


@dataclass(frozen=True)
class Settings:
    """What a controller works with, beside the cluster.

    Attributes:
        blind: seconds for which the evidence, or every pod of the canary, may be away.
        timeout: seconds until pods must be ready.
    """

    prometheus: Prometheus
    teller: Teller
    clock: Clock
    view: View
    blind: float
    timeout: float


@dataclass(frozen=True)
class Seen:
    """What the cluster holds of the canary: its weight, who set it last, ready pods, hash of the template."""

    weight: int
    manager: str | None
    ready: int
    template: str | None


class Controller:
    """Brings one rollout to its end.

    Args:
        work: the operation that holds the Lease.
    """

    def __init__(self, work: CanaryWork, settings: Settings) -> None:
        self._work, self._set = work, settings
        self._clock, self._tell, self._say = settings.clock, settings.teller, work.say
        self._name = work.name
        self._decision: Decision | None = None
        self._wish: Wish | None = None
        self.rate: float | None = None
        """Requests to the API server a second from block to block."""

    # --- opening -------------------------------------------------------------------------------------

    def open(self, plan: Plan | None) -> None:
        """Read what is there and write down what is to be done; a plan that is there is gone on with.

        Raises:
            UsageError: no plan, and nothing to go on with.
        """
        work = self._work
        found = rollout_state.read_all(work.cluster, self._name, work.namespace)
        left = found[0] if found is not None and not found[0].ended else None
        self._packed = found[1] if found is not None and left is not None else Packed()
        if plan is None:
            self._rollout = rollout_state.require(
                left or (found[0] if found else None), self._name, work.namespace
            )
        elif left is not None and self._same(left, plan):
            self._rollout = left
        else:
            if left is not None or self._abandoned(plan):
                self._say(f"{self._name}: a new rollout: what was left of the last one is taken back first")
                self._undo()
            self._rollout = _new(plan)
            self._packed = Packed()
            rollout_state.begin(work.cluster, self._name, work.namespace, self._rollout)
        if self._rollout.by is not None:
            self._say(f"{self._name}: going on with the rollout that {self._rollout.by} left")
        self._rollout = replace(self._rollout, by=work.lease.identity)
        analysis = Analysis(**self._rollout.analysis)
        edges, notes = slo_edges(analysis.slo)
        for note in notes:
            self._say(f"{self._name}: {note}")
        self._analysis, self._edges = analysis, edges
        self._judge = Judge(analysis, edges=edges)
        self._counts = Counts(self._set.prometheus, self._name, work.namespace, edges, analysis.block)
        self._state = self._judge.start(self._clock.now())

    def _same(self, left: Rollout, plan: Plan) -> bool:
        return left.model == plan.canary.model and left.analysis == _analysis(plan.analysis)

    def _abandoned(self, plan: Plan) -> bool:
        """Whether a canary is there that `run` did not start: not finished, or of another version."""
        record = self._work.record
        return record is not None and (record.phase != "running" or record.model != plan.canary.model)

    # --- stages --------------------------------------------------------------------------------------

    def go(self) -> tuple[Rollout, Decision | None, float | None]:
        """Do what is left, to the end.

        Raises:
            As `run`.
        """
        if self._rollout.stage == "starting":
            self._start()
        if self._rollout.stage == "analysing":
            self._analyse()
        elif self._rollout.stage == "promoting":
            self._promote(self._rollout.why)
        elif self._rollout.stage == "rolling-back":
            self._roll_back(self._rollout.why, str(self._rollout.outcome or "rolled back"))
        return self._rollout, self._decision, self.rate

    def _start(self) -> None:
        rollout, record = self._rollout, self._work.record
        canary = Canary(
            model=rollout.model, digest=rollout.digest, header=rollout.header, replicas=rollout.replicas
        )
        if record is None or record.phase == "starting":
            try:
                begin(self._work, canary, self._set.timeout)
            except Mlk8sError as error:
                if not isinstance(error, Unreachable) and not self._work.lease.cut_off:
                    self._end("failed", (error.what,))
                raise
        elif record.model != rollout.model:
            raise Conflict(
                f"{self._name} has a canary of {record.model}",
                where=f"namespace {self._work.namespace}",
                expected=f"that of {rollout.model}, which was being started",
                next_step=f"`mlk8s canary rollback {self._name}`",
            )
        self._tell.event("CanaryStarted", f"canary {rollout.model} is ready; its weight is 0")
        self._begin_blocks(self._analysis.first_weight)

    def _begin_blocks(self, weight: int) -> None:
        """Begin to count: where the counters are, then the first weight."""
        while True:
            try:
                self._counts.baseline(self._clock.now())
                break
            except Mlk8sError as error:
                if isinstance(error, Unreachable) and self._work.lease.cut_off:
                    raise
                self._blind(error.what)
                if self._rollout.ended:
                    return
                self._wait(self._clock.now() + self._analysis.block)
        self._rollout = replace(self._rollout, blind_since=None, template=self._see().template)
        self._set_weight(weight, stage="analysing")
        self._state = self._judge.start(round(self._clock.now(), 3))
        self._end_of_block = self._state.started
        self._tell.begin(self._analysis, self._state, self._edges, [])
        self._write(packed=True)

    def _analyse(self) -> None:
        if self._work.record is None:
            self._end("failed", ("the canary's record is gone: somebody removed it",))
            return
        if self._packed.state is not None and not self._state.blocks:
            self._restore()
        sent, since = self._work.cluster.transport.sent, self._clock.now()
        while not self._rollout.ended:
            self._block()
            if self._rollout.stage == "analysing":
                seconds = self._clock.now() - since
                self.rate = (self._work.cluster.transport.sent - sent) / seconds

    def _restore(self) -> None:
        assert self._packed.state is not None
        started = float(self._packed.state["started"])
        state, decided = self._judge.start(started), []
        for item in self._packed.state["blocks"]:
            state = self._judge.step(state, Block.from_dict(item))
            decided.append(self._judge.decide(state, queries=self._queries))
        self._state = state
        self._end_of_block = state.blocks[-1].end if state.blocks else started
        self._counts.cursor = Cursor.from_dict(self._packed.cursor) if self._packed.cursor else None
        self._tell.begin(self._analysis, state, self._edges, decided)
        away = self._clock.now() - self._end_of_block
        self._say(
            f"{self._name}: {len(state.blocks)} blocks are known; nobody looked for {duration_words(away)}"
        )

    # --- a block -------------------------------------------------------------------------------------

    def _block(self) -> None:
        start, length = self._end_of_block, self._analysis.block
        self._wait(start + length)
        if self._wish is not None:
            self._answer(None)  # at once; the block goes on
            return
        now = self._clock.now()
        end = start + length if now < start + 2 * length else now
        seen = self._see()
        if seen.template is None:
            self._roll_back(("the canary's Deployment is gone",))
            return
        if self._rollout.template is not None and seen.template != self._rollout.template:
            self._reset()
            return
        self._notice(seen)
        block, blind = self._counts.block(round(start, 3), round(end - start, 3), seen.weight)
        self._end_of_block = round(start, 3) + round(end - start, 3)
        self._state = self._judge.step(self._state, block)
        decision = self._judge.decide(self._state, queries=self._queries)
        self._decision = decision
        self._rollout = replace(self._rollout, decision=decision.to_dict())
        self._tell.block(seen.weight, block, decision)
        request = self._write(packed=True)
        self._set.view.show(Progress(
            self._name, self._rollout.model, seen.weight, block, decision, self._rollout.held, blind
        ))  # fmt: skip
        if self._answer(request) or self._rollout.ended:
            return
        if blind is not None:
            self._blind(blind)
        elif self._rollout.blind_since is not None:
            self._say(f"{self._name}: Prometheus answers again")
            self._rollout = replace(self._rollout, blind_since=None)
        if not self._rollout.ended and self._pods(seen):
            self._act(decision, seen)

    def _act(self, decision: Decision, seen: Seen) -> None:
        """Do what a decision says; of a held rollout only what is safe."""
        if decision.verdict == "inconclusive":
            self._deadline(decision)
        elif decision.verdict == "rollback":
            self._roll_back(decision.reasons)
        elif self._rollout.held is not None:
            if decision.verdict == "promote":
                self._say(f"{self._name}: would be promoted, but is held: {self._rollout.held}")
        elif decision.verdict == "promote":
            self._promote(decision.reasons)
        elif decision.action == "weight" and decision.weight != seen.weight:
            try:
                self._set_weight(decision.weight, force=self._rollout.takes_over)
                self._rollout = replace(self._rollout, takes_over=False)
            except Conflict as error:
                self._work.lease.check()
                self._hold(error.what)
                return
            self._tell.event("CanaryWeight", f"weight {decision.weight} %: {decision.reasons[0]}")

    def _deadline(self, decision: Decision) -> None:
        self._tell_verdict(decision, "inconclusive")
        blind = self._rollout.blind_since is not None
        if decision.action == "promote" and self._rollout.held is None and not blind:
            self._promote(decision.reasons)
        elif decision.action == "rollback" or blind:
            self._roll_back(decision.reasons, "inconclusive")
        else:
            self._end("inconclusive", decision.reasons)

    # --- what people and accidents do ----------------------------------------------------------------

    def _answer(self, request: Request | None) -> bool:
        """Do what was asked by another process or by the view; return whether the block is over with it."""
        self._wish = self._wish or self._set.view.wish()
        wish, by = (request.wish, request.by) if request is not None else (self._wish, "whoever watches it")
        self._wish = None
        if wish is None:
            return False
        if request is not None:
            self._rollout = replace(self._rollout, answered=request.id)
        self._say(f"{self._name}: {by} asks: {wish}")
        if wish == "promote":
            self._promote((f"{by} asked for it", *self._so_far()))
        elif wish == "rollback":
            self._roll_back((f"{by} asked for it", *self._so_far()))
        elif wish == "hold":
            self._hold(f"{by} asked for it")
        else:
            self._release()
        return wish in ("promote", "rollback")

    def _so_far(self) -> tuple[str, ...]:
        return self._decision.reasons if self._decision is not None else ()

    def _hold(self, why: str) -> None:
        self._rollout = replace(self._rollout, held=why)
        self._write()
        self._say(
            f"{self._name}: held: {why}; only a rollback is done by itself until "
            f"`mlk8s canary resume {self._name}`"
        )
        self._tell.event("CanaryHeld", why, warning=True)

    def _release(self) -> None:
        self._rollout = replace(self._rollout, held=None, takes_over=True)
        self._set_weight(self._see().weight, force=True)
        self._say(f"{self._name}: goes on with weight {self._rollout.weight}")
        self._tell.event("CanaryResumed", f"goes on with weight {self._rollout.weight} %")

    def _notice(self, seen: Seen) -> None:
        """Tell of a weight that somebody else set, and leave it."""
        meant = self._rollout.weight
        if seen.weight == meant:
            return
        who = f" by {seen.manager}" if seen.manager else ""
        self._rollout = replace(self._rollout, weight=seen.weight)
        self._hold(f"the weight was set from {meant} to {seen.weight}{who}")

    def _reset(self) -> None:
        """Begin anew with another version: what was known is of the old one."""
        self._say(f"{self._name}: the canary's pods were changed; the evidence begins anew")
        self._tell.event(
            "CanaryReset", "the canary's pods were changed; the evidence begins anew", warning=True
        )
        self._set_weight(0, force=True)
        try:
            self._work.wait_canary(self._set.timeout)
        except (RolloutFailed, WaitTimeout) as error:
            self._roll_back((f"the canary's new pods are not ready: {error.what}",))
            return
        self._rollout = replace(self._rollout, held=None, unready_since=None, decision=None)
        self._begin_blocks(self._analysis.first_weight)

    def _blind(self, cause: str) -> None:
        """Hold the weight while nothing is seen, and roll back when that lasts too long."""
        now = self._clock.now()
        since = self._rollout.blind_since
        if since is None:
            self._rollout = replace(self._rollout, blind_since=now)
            self._write()
            text = (
                f"Prometheus does not answer ({cause}): the weight is held, and the canary rolled back after "
                f"{duration_words(self._set.blind)}"
            )
            self._say(f"{self._name}: {text}")
            self._tell.event("CanaryBlind", text, warning=True)
        elif now - since >= self._set.blind:
            self._roll_back((
                f"Prometheus has not answered for {duration_words(now - since)}; "
                "what nobody sees gets no requests",
            ))  # fmt: skip

    def _pods(self, seen: Seen) -> bool:
        """Take the requests from a canary without a ready pod; return whether it serves.

        What the ingress controller answers in its place is counted by no server.
        """
        since, now = self._rollout.unready_since, self._clock.now()
        if seen.ready:
            if since is not None:
                self._rollout = replace(self._rollout, unready_since=None)
                self._say(f"{self._name}: the canary's pods are ready again")
                if self._rollout.held is None:
                    self._set_weight(self._analysis.first_weight)
            return True
        if since is None:
            self._rollout = replace(self._rollout, unready_since=now)
            self._say(f"{self._name}: none of the canary's pods is ready: it gets no requests until one is")
            self._tell.event("CanaryUnready", "none of the canary's pods is ready: weight 0", warning=True)
            self._set_weight(0, force=True)
        elif now - since >= self._set.blind:
            self._roll_back((f"none of the canary's pods was ready for {duration_words(now - since)}",))
        return False

    # --- ends ----------------------------------------------------------------------------------------

    def _promote(self, why: tuple[str, ...]) -> None:
        self._rollout = replace(self._rollout, stage="promoting", why=tuple(why))
        self._write()
        self._tell_verdict(self._decision, "promote")
        self._say(f"{self._name}: promote: {'; '.join(why)}")
        if self._work.record is not None:  # else all of it was done before this process
            try:
                finish(self._work, self._set.timeout)
            except (RolloutFailed, WaitTimeout) as error:
                self._say(f"{self._name}: the promotion failed: {error}")
                self._roll_back((f"the promotion failed: {error.what}",))
                return
        self._end("promoted", why)

    def _roll_back(self, why: tuple[str, ...], outcome: str = "rolled back") -> None:
        first = self._rollout.stage != "rolling-back"
        self._rollout = replace(
            self._rollout, stage="rolling-back", weight=0, why=tuple(why), outcome=outcome
        )
        self._write()
        if first and outcome != "inconclusive":
            self._tell_verdict(self._decision, "rollback")
        self._say(f"{self._name}: roll back: {'; '.join(why)}")
        self._undo()
        self._end(outcome, why)

    def _undo(self) -> None:
        """Take the canary back; what fails is tried again, and told each time.

        Raises:
            ClusterError: it failed each time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                undo(self._work, self._set.timeout)
                break
            except Unreachable:
                raise
            except Mlk8sError as error:
                self._work.lease.check()
                text = f"ROLLBACK FAILED (attempt {attempt} of {_ATTEMPTS}): {error.what}"
                self._say(f"{self._name}: {text}")
                self._say(f"{self._name}: by hand: {self._by_hand()}")
                self._tell.event("CanaryRollbackFailed", text, warning=True)
                if attempt == _ATTEMPTS:
                    raise ClusterError(
                        f"the canary of {self._name} could not be rolled back: {error.what}",
                        where=error.where,
                        expected="weight 0, then no canary",
                        next_step=f"{self._by_hand()}; then `mlk8s canary rollback {self._name}`",
                    ) from error
                time.sleep(2.0 ** (attempt - 1))

    def _end(self, outcome: str, why: tuple[str, ...]) -> None:
        held = self._rollout.weight if outcome == "inconclusive" and self._rollout.stage == "analysing" else 0
        self._rollout = replace(
            self._rollout, stage="ended", outcome=outcome, why=tuple(why), weight=held, held=None
        )
        self._write()
        self._tell.weight(held)
        reason = "Canary" + "".join(word.capitalize() for word in outcome.split())
        text = f"{self._rollout.model} {outcome}: {'; '.join(why)}"
        self._tell.event(reason, text, warning=outcome != "promoted")

    def _tell_verdict(self, decision: Decision | None, verdict: str) -> None:
        self._tell.verdict({
            "service": self._name, "namespace": self._work.namespace, "model": self._rollout.model,
            "verdict": verdict, "reasons": list(self._rollout.why) or list(self._so_far()),
            "weight": self._rollout.weight, "decision": decision.to_dict() if decision is not None else None,
        })  # fmt: skip

    # --- details -------------------------------------------------------------------------------------

    @property
    def _queries(self) -> dict[str, str]:
        return {"requests": self._counts.selector}

    def _write(self, *, packed: bool = False) -> Request | None:
        work = self._work
        work.lease.check()
        more = None
        if packed:
            cursor = self._counts.cursor
            more = Packed(self._state.to_dict(), cursor.to_dict() if cursor is not None else None)
        return rollout_state.write(work.cluster, self._name, work.namespace, self._rollout, more)

    def _set_weight(self, weight: int, *, force: bool = False, stage: Stage | None = None) -> None:
        """Write down the weight that is meant, set it, and write that down."""
        record = self._work.record
        if record is None:
            raise AssertionError("a weight is set of a canary that is recorded")
        before = self._rollout
        self._rollout = replace(before, weight=weight)
        self._write()
        try:
            self._work.set_weight(weight, force=force)
        except Conflict:
            self._rollout = before
            raise
        self._work.write(record, weight=weight)
        self._tell.weight(weight)
        if stage is not None:
            self._rollout = replace(self._rollout, stage=stage)

    def _see(self) -> Seen:
        work = self._work
        place = rule_name(work.rule, self._name)
        rule = work.cluster.find(work.rule.kind, place, work.namespace)
        found = work.cluster.list("Deployment", work.namespace, labels=selector(self._name))
        ready = int((found[0].get("status") or {}).get("readyReplicas") or 0) if found else 0
        template = _digest(found[0]["spec"]["template"]) if found else None
        weight = (work.rule.weight(rule) or 0) if rule is not None else 0
        return Seen(weight, last_writer(rule), ready, template)

    def _wait(self, until: float) -> None:
        while self._clock.now() < until:
            self._work.lease.check()
            self._wish = self._wish or self._set.view.wish()
            if self._wish is not None:
                return
            time.sleep(min(_TICK, max(0.0, until - self._clock.now())))

    def _by_hand(self) -> str:
        work = self._work
        return work.rule.by_hand(rule_name(work.rule, self._name), work.namespace)


def _new(plan: Plan) -> Rollout:
    canary = plan.canary
    return Rollout(
        run=uuid.uuid4().hex[:12], model=canary.model, digest=canary.digest, header=canary.header,
        replicas=canary.replicas, analysis=_analysis(plan.analysis),
    )  # fmt: skip


def _analysis(analysis: Analysis) -> dict[str, Any]:
    values: dict[str, Any] = analysis.model_dump(mode="json", exclude_unset=True)
    return values


def _digest(template: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
