"""What a blue/green service is, from what the cluster holds: its phase, both colours, what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlk8s.assess.observed import Object, age
from mlk8s.assess.rollout_words import status_lines

ANNOTATION = "mlk8s.dev/bluegreen"
"""Of a service's blue Deployment: the record of its last operation; none where only blue was ever live."""

Colour = Literal["blue", "green"]
Phase = Literal["single", "starting", "preview", "switching", "switched"]
Verb = Literal["deploy", "switch", "back", "finish"]

# A switch that was cut off may be finished or undone, and nothing else.
_ALLOWED: dict[Phase, tuple[Verb, ...]] = {
    "single": ("deploy",),
    "starting": ("deploy", "switch", "finish"),
    "preview": ("deploy", "switch", "finish"),
    "switching": ("switch", "back"),
    "switched": ("back", "finish"),
}


@dataclass(frozen=True)
class BlueGreenRecord:
    """What the last operation wrote down on the service's Deployment.

    Attributes:
        phase: how far it got.
        newer: the colour that the last deploy brought.
        retain: seconds that the older colour stays after a switch.
        since: when the phase began, RFC 3339, UTC.
    """

    phase: Phase
    newer: Colour
    retain: float
    since: str


@dataclass(frozen=True)
class ColourFacts:
    """One colour's Deployment: its model, the pods it shall have, those that are ready."""

    model: str | None
    pods: int
    ready: int


@dataclass(frozen=True)
class BlueGreenFacts:
    """What the cluster holds now.

    Attributes:
        live: the colour that the Service selects.
        colours: the Deployments that are there.
        operator: who holds the Lease; None where nobody works on it.
    """

    service: str
    record: BlueGreenRecord | None
    live: Colour
    colours: Mapping[Colour, ColourFacts]
    operator: str | None
    now: datetime


@dataclass(frozen=True)
class BlueGreenStatus:
    """A blue/green service at one moment.

    Attributes:
        live: the colour that has all requests.
        model, ready, pods: of the live colour.
        idle: the other colour; None where it has no pods.
        idle_model, idle_ready, idle_pods: of the idle colour.
        retained: seconds that the idle colour is still kept after a switch.
        notes: what is not as the phase says, one sentence each.
        allowed: what may be done now.
        rollout: what is written down of the last rollout by evidence; None where there was none.
    """

    service: str
    phase: Phase
    live: Colour
    model: str | None
    ready: int
    pods: int
    idle: Colour | None = None
    idle_model: str | None = None
    idle_ready: int = 0
    idle_pods: int = 0
    since: str | None = None
    retained: float = 0.0
    operator: str | None = None
    notes: tuple[str, ...] = ()
    allowed: tuple[Verb, ...] = ("deploy",)
    rollout: dict[str, Any] | None = None

    def __str__(self) -> str:
        lines = [
            f"{self.service}: {self.phase}",
            f"  live:     {self.live}, {self.model}, {self.ready} of {self.pods} pods ready",
        ]
        if self.idle:
            pods = f"{self.idle_ready} of {self.idle_pods} pods ready"
            lines.append(f"  idle:     {self.idle}, {self.idle_model}, {pods}")
        if self.retained:
            lines.append(f"  retained: {self.idle} stays for {self.retained:.0f} s more")
        if self.operator:
            lines.append(f"  operator: {self.operator}")
        lines += [f"  note:     {note}" for note in self.notes]
        if self.rollout is not None:
            lines += status_lines(self.rollout, self.operator)
        lines.append(f"  next:     {', '.join(self.allowed)}")
        return "\n".join(lines)


def retained(record: BlueGreenRecord, now: datetime) -> float:
    """Return the seconds that the older colour must still stay; 0 before a switch."""
    return max(0.0, record.retain - age(record.since, now)) if record.phase == "switched" else 0.0


def asleep(deployment: Object) -> bool:
    """Whether a Deployment is the blue colour of a service that green alone serves: it has no pods then."""
    text = (deployment["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        return text is not None and json.loads(text)["phase"] == "single"
    except (ValueError, KeyError, TypeError):
        return False


def assess_bluegreen(facts: BlueGreenFacts) -> BlueGreenStatus:
    """Return the truth about a blue/green service: the Service's selector says which colour is live."""
    other: Colour = "green" if facts.live == "blue" else "blue"
    nothing = ColourFacts(None, 0, 0)
    live, idle = facts.colours.get(facts.live, nothing), facts.colours.get(other)
    record = facts.record
    phase: Phase = record.phase if record else "single"
    there = idle is not None and (idle.pods > 0 or phase != "single")
    return BlueGreenStatus(
        facts.service,
        phase,
        facts.live,
        live.model,
        live.ready,
        live.pods,
        idle=other if there else None,
        idle_model=idle.model if idle and there else None,
        idle_ready=idle.ready if idle and there else 0,
        idle_pods=idle.pods if idle and there else 0,
        since=record.since if record else None,
        retained=retained(record, facts.now) if record else 0.0,
        operator=facts.operator,
        notes=tuple(_notes(facts, phase, live, idle)),
        allowed=_ALLOWED[phase],
    )


def _notes(facts: BlueGreenFacts, phase: Phase, live: ColourFacts, idle: ColourFacts | None) -> list[str]:
    notes = []
    if not live.ready:
        notes.append(f"{facts.live} has the requests, and none of its pods is ready")
    if facts.record and phase in ("starting", "switching") and facts.operator is None:
        notes.append(f"the process that left it {phase} at {facts.record.since} is gone")
    if phase == "preview" and (idle is None or not idle.ready):
        notes.append("none of the idle pods is ready")
    if phase == "switched" and facts.record and facts.live != facts.record.newer:
        notes.append(f"the Service was led back to {facts.live} from outside")
    return notes
