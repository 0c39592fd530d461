"""The record of a canary: an annotation on the stable Deployment, so that any process can go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlk8s.assess.canary import CanaryRecord, Phase
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict
from mlk8s.operations import shadow_state
from mlk8s.operations.record import now, read_record, write_record
from mlk8s.spec.canary import Canary

ANNOTATION = "mlk8s.dev/canary"
MANAGER = "mlk8s-canary"


def read(deployment: Mapping[str, Any]) -> CanaryRecord | None:
    """Return the record on a stable Deployment; None where no canary is recorded.

    Raises:
        Conflict: the annotation was not written by this version of mlk8s.
    """
    return read_record(deployment, ANNOTATION, CanaryRecord)


def new(canary: Canary) -> CanaryRecord:
    """Return the record of a canary that begins now."""
    started = now()
    return CanaryRecord(
        model=canary.model, digest=canary.digest, weight=canary.weight, header=canary.header,
        cookie=canary.cookie, replicas=canary.replicas, phase="starting", started=started, updated=started,
    )  # fmt: skip


def spec(record: CanaryRecord) -> Canary:
    """Return the canary that a record describes."""
    return Canary(
        model=record.model, digest=record.digest, weight=record.weight, header=record.header,
        cookie=record.cookie, replicas=record.replicas,
    )  # fmt: skip


def write(
    cluster: Cluster, service: str, namespace: str, record: CanaryRecord, *, phase: Phase | None = None,
    **changes: Any,
) -> CanaryRecord:  # fmt: skip
    """Write a record down, with its changes and the time, and return it."""
    record = replace(record, phase=phase or record.phase, updated=now(), **changes)
    write_record(cluster, service, namespace, ANNOTATION, record, manager=MANAGER)
    return record


def clear(cluster: Cluster, service: str, namespace: str) -> None:
    """Remove the record: the last step of a promotion and of a rollback."""
    write_record(cluster, service, namespace, ANNOTATION, None, manager=MANAGER)


def refuse_while_running(deployment: Mapping[str, Any]) -> None:
    """Refuse a new version of a service whose canary is not finished, or that has a shadow.

    Raises:
        Conflict: names the canary, or the shadow, and the ways out.
    """
    shadow_state.refuse_while_running(deployment)
    record = read(deployment)
    if record is None:
        return
    name = deployment["metadata"]["name"]
    raise Conflict(
        f"{name} has a canary: {record.model} is {record.phase.replace('-', ' ')} since {record.started}",
        where=f"Deployment {deployment['metadata'].get('namespace')}/{name}",
        expected="one new version at a time",
        next_step=f"`mlk8s canary promote {name}` or `mlk8s canary rollback {name}` first",
    )
