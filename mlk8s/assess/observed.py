"""How to read what Kubernetes says about pods: times, containers, conditions, events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Container:
    """One container of one pod as it was declared and as it was seen.

    Attributes:
        init: whether it is an init container that has to end; a native sidecar is none.
        spec: its declaration.
        status: its status; empty as long as the kubelet has not seen the pod.
    """

    name: str
    init: bool
    spec: Object
    status: Object

    @property
    def sidecar(self) -> bool:
        """Whether it is a native sidecar, which ends after the main containers."""
        return self.spec.get("restartPolicy") == "Always"

    @property
    def waiting(self) -> Object:
        return self.status.get("state", {}).get("waiting") or {}

    @property
    def running(self) -> Object:
        return self.status.get("state", {}).get("running") or {}

    @property
    def terminated(self) -> Object:
        return self.status.get("state", {}).get("terminated") or {}

    @property
    def last_end(self) -> Object:
        """How it ended, now or the last time; empty where it never did."""
        return self.terminated or self.status.get("lastState", {}).get("terminated") or {}

    @property
    def restarts(self) -> int:
        return int(self.status.get("restartCount", 0))

    @property
    def done(self) -> bool:
        """Whether an init container has succeeded."""
        return bool(self.terminated) and self.terminated.get("exitCode") == 0


def containers(pod: Object) -> Iterator[Container]:
    """Yield the pod's containers in the order in which they start."""
    for init, specs, statuses in (
        (True, "initContainers", "initContainerStatuses"),
        (False, "containers", "containerStatuses"),
    ):
        seen = {status["name"]: status for status in pod.get("status", {}).get(statuses) or []}
        for spec in pod.get("spec", {}).get(specs) or []:
            found = Container(spec["name"], init, spec, seen.get(spec["name"], {}))
            yield replace(found, init=False) if found.sidecar else found


def condition(item: Object, kind: str) -> Object:
    """Return a condition of an object's status; empty where it is not there."""
    for entry in item.get("status", {}).get("conditions") or []:
        if entry.get("type") == kind:
            return dict(entry)
    return {}


def is_true(item: Object, kind: str) -> bool:
    """Return whether a condition of an object's status is True."""
    return condition(item, kind).get("status") == "True"


def parse_time(text: str | None) -> datetime | None:
    """Return a Kubernetes timestamp (RFC 3339, UTC) as an aware datetime."""
    return datetime.fromisoformat(text) if text else None


def age(text: str | None, now: datetime) -> float:
    """Return the seconds since a Kubernetes timestamp; 0 where there is none or it lies ahead."""
    then = parse_time(text)
    return max(0.0, (now - then).total_seconds()) if then else 0.0


def events_of(item: Object, events: Iterable[Object]) -> list[Object]:
    """Return the events about one object."""
    uid = item.get("metadata", {}).get("uid")
    return [event for event in events if uid and event.get("involvedObject", {}).get("uid") == uid]


def event_count(event: Object) -> int:
    """Return how often an event was seen."""
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)


def terminating(item: Object) -> bool:
    """Return whether an object is being deleted."""
    return bool(item.get("metadata", {}).get("deletionTimestamp"))


def place(item: Object) -> str:
    """Return what kubectl would call an object: 'pod team/iris-abc'."""
    metadata = item.get("metadata", {})
    return f"{str(item.get('kind', 'pod')).lower()} {metadata.get('namespace')}/{metadata.get('name')}"
