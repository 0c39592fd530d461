"""The record of a canary: an annotation on the stable Deployment, so that any process can go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from mlk8s.assess.canary import CanaryRecord, Phase
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict
from mlk8s.spec.canary import Canary

ANNOTATION = "mlk8s.dev/canary"
# Not the manager of `deploy`: an apply removes what its own manager once wrote and no longer names.
MANAGER = "mlk8s-canary"


def read(deployment: Mapping[str, Any]) -> CanaryRecord | None:
    """Return the record on a stable Deployment; None where no canary is recorded.

    Raises:
        Conflict: the annotation was not written by this version of mlk8s.
    """
    metadata = deployment["metadata"]
    text = (metadata.get("annotations") or {}).get(ANNOTATION)
    if text is None:
        return None
    try:
        return CanaryRecord(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Conflict(
            f"the annotation {ANNOTATION} cannot be read: {error}",
            where=f"Deployment {metadata.get('namespace')}/{metadata['name']}",
            next_step=f"`kubectl annotate deployment {metadata['name']} {ANNOTATION}-`, then roll back",
        ) from None


def new(canary: Canary) -> CanaryRecord:
    """Return the record of a canary that begins now."""
    now = _now()
    return CanaryRecord(
        model=canary.model, digest=canary.digest, weight=canary.weight, header=canary.header,
        replicas=canary.replicas, phase="starting", started=now, updated=now,
    )  # fmt: skip


def spec(record: CanaryRecord) -> Canary:
    """Return the canary that a record describes."""
    return Canary(
        model=record.model, digest=record.digest, weight=record.weight, header=record.header,
        replicas=record.replicas,
    )  # fmt: skip


def write(
    cluster: Cluster, service: str, namespace: str, record: CanaryRecord, *, phase: Phase | None = None,
    **changes: Any,
) -> CanaryRecord:  # fmt: skip
    """Write a record down, with its changes and the time, and return it."""
    record = replace(record, phase=phase or record.phase, updated=_now(), **changes)
    _annotate(cluster, service, namespace, json.dumps(asdict(record)))
    return record


def clear(cluster: Cluster, service: str, namespace: str) -> None:
    """Remove the record: the last step of a promotion and of a rollback."""
    _annotate(cluster, service, namespace, None)


def refuse_while_running(deployment: Mapping[str, Any]) -> None:
    """Refuse a new version of a service whose canary is not finished.

    Raises:
        Conflict: names the canary and the ways out.
    """
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


def _annotate(cluster: Cluster, service: str, namespace: str, text: str | None) -> None:
    body = {"metadata": {"annotations": {ANNOTATION: text}}}
    cluster.patch("Deployment", service, body, namespace, manager=MANAGER)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
