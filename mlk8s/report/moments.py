"""What happened at one moment of a run: stages, pod starts, autoscaler's events and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from mlk8s.loadgen.tail import Line
from mlk8s.report.shares import Lost
from mlk8s.spec.load import LoadProfile, Stage

COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "t": (pa.float64(), "seconds since the start of the load; negative before it"),
    "kind": (pa.string(), "load, pod, autoscaler (its events) or condition (of the autoscaler)"),
    "what": (pa.string(), "what happened"),
    "subject": (pa.string(), "the pod, the condition, or the stage"),
    "message": (pa.string(), "in words, where there are any"),
}
"""Columns of the moments: Arrow type and meaning."""
POD_STEPS = ("created", "scheduled", "started", "ready", "asked to stop")
_BEFORE = 60.0
"""Seconds before the load of which the autoscaler's events are told."""


def moments(
    samples: Sequence[Line], profile: LoadProfile, start: float, *, last: float, lost: Sequence[Lost] = ()
) -> pa.Table:
    """Return every moment of a run, in order.

    Args:
        samples: lines of cluster.jsonl.
        start: second since the epoch at which t = 0.
        last: seconds since then of the run's last line: later stages did not come.
        lost: workers of the load that ended too early.
    """
    found = [*_stages(profile, last), *_pods(samples, start), *_events(samples, start)]
    found += _conditions(samples, start)
    found += [
        (float(item.at - start), "load", "worker lost", f"worker {item.worker} of {item.of}", item.why)
        for item in lost
        if item.at is not None
    ]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in sorted(found, key=lambda row: row[0])]
    schema = pa.schema(
        [pa.field(name, kind, metadata={"unit": unit}) for name, (kind, unit) in COLUMNS.items()]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def pod_rows(samples: Sequence[Line], start: float) -> list[dict[str, Any]]:
    """Return a row a pod with the times of its start and end, in seconds since the start of the load."""
    pods: dict[str, dict[str, Any]] = {}
    for sample in samples:
        for pod in sample.get("pods") or ():
            # What was once seen stays: a pod that stops is not Ready any more.
            known = pods.setdefault(pod["name"], {})
            known.update({key: value for key, value in pod.items() if value is not None})
    rows = []
    for name, pod in pods.items():
        times = {key: since(pod.get(key), start) for key in POD_STEPS[:-1]}
        over = since(pod.get("deleted"), start)
        asked = None if over is None else over - (pod.get("grace") or 0)
        rows.append({"pod": name, **times, POD_STEPS[-1]: asked})
    return rows


def since(moment: str | None, start: float) -> float | None:
    """Return the seconds from `start` to an RFC 3339 time; None for none."""
    if not moment:
        return None
    return round(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() - start, 1)


Moment = tuple[float, str, str, str, str | None]


def _stages(profile: LoadProfile, last: float) -> Iterator[Moment]:
    begin = 0.0
    if len(profile.stages) <= 100:  # a curve that is made of many ramps has no moments
        for stage in profile.stages:
            if begin <= last:
                yield begin, "load", "stage", _load(stage), None
            begin += stage.hold
    if profile.duration <= last + 1:
        yield profile.duration, "load", "end of the load", "", None


def _load(stage: Stage) -> str:
    unit = f"{stage.users} users" if stage.rps is None else f"{stage.rps:g} requests/s"
    return f"ramp to {unit}" if stage.ramp else unit


def _pods(samples: Sequence[Line], start: float) -> Iterator[Moment]:
    for row in pod_rows(samples, start):
        for step in POD_STEPS:
            if row[step] is not None:
                yield row[step], "pod", step, row["pod"], None


def _events(samples: Sequence[Line], start: float) -> Iterator[Moment]:
    for sample in samples:
        for event in sample.get("events") or ():
            at = since(event["at"], start)
            if at is not None and at > -_BEFORE:
                yield at, "autoscaler", str(event["reason"]), "", event["message"]


def _conditions(samples: Sequence[Line], start: float) -> Iterator[Moment]:
    """Yield each change of a condition's status or reason, from the first sample's on."""
    known: dict[str, tuple[Any, Any]] = {}
    for sample in samples:
        for name, condition in ((sample.get("hpa") or {}).get("conditions") or {}).items():
            now = (condition.get("status"), condition.get("reason"))
            if known.get(name) != now:
                known[name] = now
                at = round(float(sample["t"]) - start, 1)
                yield at, "condition", f"{now[0]}: {now[1]}", name, condition.get("message")
