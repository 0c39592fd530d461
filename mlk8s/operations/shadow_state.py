"""What is written down of a shadow: an annotation on the stable Deployment, before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict
from mlk8s.operations.record import now, read_record, write_record
from mlk8s.render.common import INSTANCE, MANAGED_BY, MANAGER, NAME, TRACK, Identity

ANNOTATION = "mlk8s.dev/shadow"
_MANAGER = "mlk8s-shadow"
Phase = Literal["starting", "mirroring", "stopping"]


@dataclass(frozen=True)
class ShadowState:
    """A shadow that is there, or that somebody began or left.

    Attributes:
        model: its version.
        percent: share of the requests that it gets a copy of.
        phase: how far it got.
        started: RFC 3339, UTC.
    """

    model: str
    percent: int
    phase: Phase
    started: str

    def __str__(self) -> str:
        copies = f"copies of {self.percent} % of the predictions" if self.phase == "mirroring" else self.phase
        return f"shadow {self.model} since {self.started}: {copies}"


def read(deployment: Mapping[str, Any]) -> ShadowState | None:
    """Return the record on a stable Deployment; None where there is no shadow.

    Raises:
        Conflict: the annotation was not written by this version of mlk8s.
    """
    return read_record(deployment, ANNOTATION, ShadowState)


def begin(cluster: Cluster, service: str, namespace: str, model: str, percent: int) -> ShadowState:
    """Write a new record down and return it."""
    state = ShadowState(model, percent, "starting", now())
    write_record(cluster, service, namespace, ANNOTATION, state, manager=_MANAGER)
    return state


def turn(cluster: Cluster, service: str, namespace: str, state: ShadowState, phase: Phase) -> ShadowState:
    """Write a phase down before it begins, and return the record."""
    state = replace(state, phase=phase)
    write_record(cluster, service, namespace, ANNOTATION, state, manager=_MANAGER)
    return state


def clear(cluster: Cluster, service: str, namespace: str) -> None:
    """Remove the record: the last step."""
    write_record(cluster, service, namespace, ANNOTATION, None, manager=_MANAGER)


def selector(service: str) -> str:
    """Return the label selector of a shadow's objects, and of nobody else's."""
    instance = Identity(service, "shadow").instance
    labels = {NAME: service, INSTANCE: instance, MANAGED_BY: MANAGER, TRACK: "shadow"}
    return ",".join(f"{key}={value}" for key, value in labels.items())


def refuse_while_running(deployment: Mapping[str, Any]) -> None:
    """Refuse a new version, or a canary, of a service that has a shadow: it would be compared with both.

    Raises:
        Conflict: names the shadow and the way out.
    """
    state = read(deployment)
    if state is None:
        return
    name = deployment["metadata"]["name"]
    raise Conflict(
        f"{name} has a {state}",
        where=f"Deployment {deployment['metadata'].get('namespace')}/{name}",
        expected="one new version at a time",
        next_step=f"`mlk8s canary shadow {name} --stop` first",
    )
