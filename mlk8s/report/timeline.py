"""One table of load, answers, replicas and the metric: a row a second, on one clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from mlk8s.loadgen.tail import Line
from mlk8s.report.results import Counts, Results
from mlk8s.report.whole import whole

KINDS = {
    "connection": "connection refused or lost",
    "timeout": "time-out",
    "status": "HTTP status",
    "wrong": "wrong answer",
    "shed": "shed, no connection was free in time",
}
"""The kinds of errors that are told apart, and their names."""
_KIND_OF = {"connection": "connection", "timeout": "timeout", "wrong_answer": "wrong", "shed": "shed"}

COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "t": (pa.int32(), "seconds since the start"),
    "offered_rps": (pa.float64(), "requests/s that the profile asks for"),
    "sent_rps": (pa.float64(), "requests/s that were sent"),
    "ok_rps": (pa.float64(), "requests/s with a right answer"),
    "error_rate": (pa.float64(), "share of ended requests without a right answer, 0 to 1"),
    **{f"errors_{kind}": (pa.float64(), f"requests/s that ended: {words}") for kind, words in KINDS.items()},
    "p50": (pa.float64(), "seconds, of right answers"),
    "p90": (pa.float64(), "seconds, of right answers"),
    "p95": (pa.float64(), "seconds, of right answers"),
    "p99": (pa.float64(), "seconds, of right answers"),
    "users": (pa.int32(), "connections"),
    "replicas_current": (pa.int32(), "pods that the Deployment has"),
    "replicas_desired": (pa.int32(), "pods that the autoscaler wants"),
    "replicas_ready": (pa.int32(), "pods that are ready"),
    "metric": (pa.float64(), "the autoscaler's metric, mean a pod, as it reports it"),
    "metric_target": (pa.float64(), "the autoscaler's target, mean a pod"),
    "in_flight": (pa.float64(), "requests in flight in all pods, from Prometheus"),
    "server_rps": (pa.float64(), "requests/s that the pods answered, from Prometheus"),
    "server_error_rate": (pa.float64(), "share of 5xx answers of the pods, from Prometheus, 0 to 1"),
    "cpu_cores": (pa.float64(), "CPUs that all pods use, mean of the kubelet's last 10 to 15 s"),
    "memory_bytes": (pa.float64(), "bytes that all pods use (working set)"),
}
"""Columns of the timeline: Arrow type and unit."""

_HELD = 2
"""A sample stands for the seconds after it, at most this many: longer gaps are shown as gaps."""


def build(results: Results, samples: Iterable[Line]) -> pa.Table:
    """Merge the load generator's results and the cluster's samples.

    Args:
        results: by second since the epoch.
        samples: lines of cluster.jsonl, each with "t" in seconds since the epoch.

    Returns:
        Columns as in COLUMNS, no row missing between the first second of load (or, without any, the first
        sample) and the last line; null where nothing was seen. Metadata `start`: UTC time of t = 0.
    """
    rows: dict[int, dict[str, Any]] = {}
    for second, load in results.load.items():
        rows.setdefault(second, {}).update(
            offered_rps=load["offered"], sent_rps=float(load["sent"]), users=load["users"], ok_rps=0.0
        )
    for second, counts in results.requests.items():
        row = rows.setdefault(second, {})
        row |= {"ok_rps": float(counts.ok), "error_rate": counts.error_rate, **counts.percentiles()}
        row |= _errors(counts)
    seen: dict[int, dict[str, Any]] = {}
    for sample in samples:
        seen.setdefault(int(sample["t"]), {}).update(_columns(sample))
    start = min(results.load or rows or seen, default=0)
    end = max([*rows, *seen], default=start - 1)
    table = [{"t": second - start, **rows.get(second, {})} for second in range(start, end + 1)]
    _hold(table, seen, start)
    schema = pa.schema(
        [pa.field(name, kind, metadata={"unit": unit}) for name, (kind, unit) in COLUMNS.items()],
        metadata={"start": datetime.fromtimestamp(start, UTC).isoformat().replace("+00:00", "Z")},
    )
    return pa.Table.from_pylist(table, schema=schema)


def _errors(counts: Counts) -> dict[str, float]:
    """Return how many requests ended without a right answer, by kind."""
    found = dict.fromkeys((f"errors_{kind}" for kind in KINDS), 0.0)
    for outcome, count in counts.outcomes.items():
        if outcome != "ok":
            found[f"errors_{_KIND_OF.get(outcome, 'status')}"] += count
    return found


def _hold(table: list[dict[str, Any]], seen: dict[int, dict[str, Any]], start: int) -> None:
    """Put samples into their rows, and into up to _HELD rows after them that have none of their own."""
    held: dict[str, tuple[int, Any]] = {}
    for second in range(start - _HELD, start + len(table)):
        for name, value in seen.get(second, {}).items():
            held[name] = (second, value)
        if second >= start:
            fresh = {name: value for name, (when, value) in held.items() if second - when <= _HELD}
            table[second - start].update(fresh)


def _columns(sample: Line) -> dict[str, Any]:
    """Return the timeline's columns of one sample; a sample that failed gives none."""
    columns: dict[str, Any] = {}
    deployment, hpa, server = sample.get("deployment"), sample.get("hpa"), sample.get("server")
    if deployment:
        columns |= {
            "replicas_current": deployment["current"],
            "replicas_desired": deployment["desired"],
            "replicas_ready": deployment["ready"],
        }
    if hpa:
        columns |= {
            "replicas_desired": hpa["desired"],
            "metric": hpa["metric"],
            "metric_target": hpa["target"],
        }
    if server:
        columns |= {
            "in_flight": server.get("in_flight"),
            "server_rps": server.get("rps"),
            "server_error_rate": server.get("error_rate"),
        }
    if usage := sample.get("usage"):
        columns |= {"cpu_cores": usage.get("cpu"), "memory_bytes": usage.get("memory")}
    return {name: value for name, value in columns.items() if value is not None}


def start_of(table: pa.Table) -> str:
    """Return the UTC time of t = 0, RFC 3339."""
    return str((table.schema.metadata or {}).get(b"start", b"").decode())


def save(table: pa.Table, events: pa.Table, directory: Path) -> tuple[Path, Path]:
    """Write timeline.parquet and timeline.json, the latter with the moments too, and return both paths."""
    import pyarrow.parquet as pq

    parquet, json = directory / "timeline.parquet", directory / "timeline.json"
    with whole(parquet) as file:
        pq.write_table(table, file, compression="zstd")
    body = {
        "start": start_of(table),
        "units": {name: unit for name, (_, unit) in COLUMNS.items()},
        "columns": table.to_pydict(),
        "events": events.to_pylist(),
    }
    with whole(json) as file:
        file.write_bytes(orjson.dumps(body))
    return parquet, json
