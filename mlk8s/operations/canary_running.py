"""A canary's rollout that is being worked on: what the cluster holds of it, and how its weight is set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from mlk8s.assess.canary import last_writer
from mlk8s.errors import Conflict
from mlk8s.operations.canary_look import rule_name, selector
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.rollout_judged import JudgedRollout, Settings
from mlk8s.operations.rollout_state import Rollout, Stage
from mlk8s.render.common import Identity


@dataclass(frozen=True)
class Seen:
    """What the cluster holds of the canary: its weight, who set it last, ready pods, hash of the template."""

    weight: int
    manager: str | None
    ready: int
    template: str | None


class Running(JudgedRollout):
    """The rollout of one canary."""

    def __init__(self, work: CanaryWork, settings: Settings, rollout: Rollout) -> None:
        super().__init__(work, settings, rollout, (Identity(work.name, "canary").instance, work.name))
        self.work = work

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
        return Seen(weight, last_writer(rule), ready, template)

    def by_hand(self) -> str:
        """Return the kubectl command that takes the requests from the canary."""
        return self.work.rule.by_hand(rule_name(self.work.rule, self.name), self.work.namespace)


def _digest(template: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
