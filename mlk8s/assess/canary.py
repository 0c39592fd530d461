"""What a canary is, from what the cluster holds: its phase, what differs from its record, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mlk8s.assess.rollout_words import status_lines
from mlk8s.assess.split import Split
from mlk8s.render.common import MANAGER

Phase = Literal["starting", "running", "promoting", "rolling-back"]
Verb = Literal["start", "weight", "promote", "rollback"]

# What each phase allows. A start that was cut off may be repeated; a promotion that was cut off may be
# finished or undone; a rollback can only be finished.
_ALLOWED: dict[Phase, tuple[Verb, ...]] = {
    "starting": ("start", "rollback"),
    "running": ("weight", "promote", "rollback"),
    "promoting": ("promote", "rollback"),
    "rolling-back": ("rollback",),
}


@dataclass(frozen=True)
class CanaryRecord:
    """What the last operation wrote down on the stable Deployment.

    Attributes:
        model, digest: the canary's version.
        weight: percent that it is meant to have.
        header: header that leads to it, as the user named it.
        replicas: pods it is meant to have.
        phase: how far it got.
        started, updated: RFC 3339, UTC.
        previous, previous_digest: the service's version before the promotion began, to go back to.
        cookie: by which clients stay with a version.
    """

    model: str
    digest: str | None
    weight: int
    header: str | None
    replicas: int
    phase: Phase
    started: str
    updated: str
    previous: str | None = None
    previous_digest: str | None = None
    cookie: str | None = None


@dataclass(frozen=True)
class CanaryFacts:
    """What the cluster holds now.

    Attributes:
        service: name of the service.
        stable_model: model of the stable Deployment.
        record: what was written down; None where nothing was.
        pods, ready: replicas of the canary's Deployment; None where it is not there.
        weight: percent in the live traffic rule; None where it sends nothing to a canary.
        leftovers: canary objects that are there, as 'Kind name'.
        operator: who holds the Lease.
    """

    service: str
    stable_model: str | None
    record: CanaryRecord | None
    pods: int | None = None
    ready: int | None = None
    weight: int | None = None
    leftovers: Sequence[str] = ()
    operator: str | None = None


@dataclass(frozen=True)
class CanaryStatus:
    """A canary at one moment.

    Attributes:
        phase: `none`, one of the recorded phases, or `leftover` for objects without a record.
        weight: percent that the traffic rule really has.
        ready, pods: pods of the canary.
        notes: what differs from the record, one sentence each.
        allowed: what may be done now.
        split: the observed split, where it was observed.
        rollout: what is written down of the last analysed rollout; None where there was none.
        shadow: a sentence on the service's shadow and who works on it; None where there is none.
    """

    service: str
    phase: Phase | Literal["none", "leftover"]
    stable_model: str | None
    model: str | None = None
    header: str | None = None
    cookie: str | None = None
    weight: int = 0
    pods: int = 0
    ready: int = 0
    started: str | None = None
    updated: str | None = None
    operator: str | None = None
    notes: tuple[str, ...] = ()
    allowed: tuple[Verb, ...] = ("start",)
    split: Split | None = field(default=None, compare=False)
    rollout: Mapping[str, Any] | None = field(default=None, compare=False)
    shadow: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        evidence = status_lines(self.rollout, self.operator) if self.rollout is not None else []
        if self.shadow is not None:
            evidence.insert(0, f"  {self.shadow}")
        if self.phase == "none":
            return "\n".join([f"{self.service}: no canary; {self.stable_model} has all requests", *evidence])
        lines = [
            f"{self.service}: canary {self.model or '?'} is {self.phase.replace('-', ' ')}: "
            f"{self.weight} % of the requests, {self.ready} of {self.pods} pods ready"
        ]
        if self.header:
            lines.append(f"  header:   {self.header}: always | never")
        if self.cookie:
            lines.append(f"  cookie:   {self.cookie} keeps a client with its version")
        if self.split is not None:
            lines.append(f"  observed: {self.split}")
        if self.operator:
            lines.append(f"  operator: {self.operator}")
        lines += evidence
        lines += [f"  note:     {note}" for note in self.notes]
        lines.append(f"  next:     {', '.join(self.allowed)}")
        return "\n".join(lines)


def assess_canary(facts: CanaryFacts) -> CanaryStatus:
    """Return the truth about a canary: live objects win over the record, and every difference is told."""
    base = CanaryStatus(
        facts.service,
        "none",
        facts.stable_model,
        weight=facts.weight or 0,
        pods=facts.pods or 0,
        ready=facts.ready or 0,
        operator=facts.operator,
    )
    record = facts.record
    if record is None:
        if not facts.leftovers:
            return base
        note = f"objects of a canary without a record: {', '.join(facts.leftovers)}"
        return replace(base, phase="leftover", notes=(note,), allowed=("rollback",))
    return replace(
        base,
        phase=record.phase,
        model=record.model,
        header=record.header,
        cookie=record.cookie,
        started=record.started,
        updated=record.updated,
        notes=tuple(_notes(facts, record)),
        allowed=_ALLOWED[record.phase],
    )


def _notes(facts: CanaryFacts, record: CanaryRecord) -> list[str]:
    notes = []
    if record.phase != "running" and facts.operator is None:
        notes.append(f"the process that left it {record.phase} at {record.updated} is gone")
    if record.phase == "running":
        if facts.weight is None:
            notes.append("its traffic rule is gone: it gets no requests")
        elif facts.weight != record.weight:
            notes.append(f"the weight was set to {record.weight} and is {facts.weight}: changed from outside")
        if facts.pods is None:
            notes.append("its Deployment is gone")
        elif not facts.ready:
            notes.append("none of its pods is ready")
    if record.phase == "promoting" and facts.stable_model == record.model:
        notes.append("the service has the canary's model already")
    return notes


def last_writer(rule: Mapping[str, Any] | None) -> str | None:
    """Return who wrote a traffic rule last, as the API server noted it; of one second, rather somebody else:
    the weight that we set ourselves is known."""
    fields = (rule or {}).get("metadata", {}).get("managedFields") or []
    dated = [item for item in fields if item.get("time") and item.get("subresource") is None]
    if not dated:
        return None
    return str(max(dated, key=lambda item: (item["time"], item["manager"] != MANAGER))["manager"])
