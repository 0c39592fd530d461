"""What a rollout begins with: the one that is there is gone on with, or another one is written down."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from mlk8s.operations import rollout_state
from mlk8s.operations.canary_control import Controller
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.rollout_judged import Settings
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.canary import Canary


@dataclass(frozen=True)
class Plan:
    """What a new rollout is to do."""

    canary: Canary
    analysis: Analysis


def open_rollout(work: CanaryWork, settings: Settings, plan: Plan | None) -> Controller:
    """Read what is there and write down what is to be done; a plan that is there is gone on with.

    Args:
        work: the operation that holds the Lease.
        plan: None goes on with what is there.

    Raises:
        UsageError: no plan, and nothing to go on with.
    """
    found = rollout_state.read_all(work.cluster, work.name, work.namespace)
    last, packed = found if found is not None else (None, Packed())
    rollout_state.require_kind(last, "canary", work.name, work.namespace)
    left = last if last is not None and not last.ended else None
    if plan is None:
        rollout = left or rollout_state.require(last, work.name, work.namespace)
    elif left is not None and _same(left, plan):
        rollout = left
    else:
        rollout, packed = _new(plan), Packed()
        if left is not None or _abandoned(work, plan):
            work.say(f"{work.name}: a new rollout: what was left of the last one is taken back first")
            Controller(work, settings, left or rollout).make_way(written=left is not None)
        rollout_state.begin(work.cluster, work.name, work.namespace, rollout)
    if rollout.by is not None:
        work.say(f"{work.name}: going on with the rollout that {rollout.by} left")
    control = Controller(work, settings, rollout, packed)
    for note in control.notes:
        control.say(note)
    control.note(by=work.lease.identity)
    return control


def _same(left: Rollout, plan: Plan) -> bool:
    return left.model == plan.canary.model and left.analysis == _analysis(plan.analysis)


def _abandoned(work: CanaryWork, plan: Plan) -> bool:
    """Whether a canary is there that `run` did not start: not finished, or of another version."""
    record = work.record
    return record is not None and (record.phase != "running" or record.model != plan.canary.model)


def _new(plan: Plan) -> Rollout:
    canary = plan.canary
    return Rollout(
        run=uuid.uuid4().hex[:12], model=canary.model, digest=canary.digest, header=canary.header,
        cookie=canary.cookie, replicas=canary.replicas, analysis=_analysis(plan.analysis),
    )  # fmt: skip


def _analysis(analysis: Analysis) -> dict[str, Any]:
    values: dict[str, Any] = analysis.model_dump(mode="json", exclude_unset=True)
    return values
