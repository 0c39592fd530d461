"""What an operation wrote down on a service's Deployment: an annotation that any process can go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record")


def read_record(deployment: Mapping[str, Any], annotation: str, kind: type[Record]) -> Record | None:
    """Return the record in an annotation; None where it is not there.

    Raises:
        Conflict: the annotation was not written by this version of mlk8s.
    """
    metadata = deployment["metadata"]
    text = (metadata.get("annotations") or {}).get(annotation)
    if text is None:
        return None
    try:
        return kind(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Conflict(
            f"the annotation {annotation} cannot be read: {error}",
            where=f"Deployment {metadata.get('namespace')}/{metadata['name']}",
            next_step=f"`kubectl annotate deployment {metadata['name']} {annotation}-` forgets it",
        ) from None


def write_record(
    cluster: Cluster, service: str, namespace: str, annotation: str, record: DataclassInstance | None, *,
    manager: str,
) -> None:  # fmt: skip
    """Write a record down, or with None remove it.

    Args:
        manager: not that of `deploy`: an apply removes what its own manager once wrote and no longer names.
    """
    text = None if record is None else json.dumps(asdict(record))
    body = {"metadata": {"annotations": {annotation: text}}}
    cluster.patch("Deployment", service, body, namespace, manager=manager)


def now() -> str:
    """Return this machine's time, RFC 3339 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
