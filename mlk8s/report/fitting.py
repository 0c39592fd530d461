"""One pod of a service, out of a load test's run: what the autoscaler's twin needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
import pyarrow as pa

from mlk8s.assess.scaling import Measured, ServiceModel
from mlk8s.errors import UsageError
from mlk8s.loadgen.histogram import VALUES
from mlk8s.loadgen.tail import Line
from mlk8s.report.moments import pod_rows
from mlk8s.report.results import Results


def fit(results: Results, timeline: pa.Table, samples: Sequence[Line], start: float) -> ServiceModel:
    """Return the model of one pod, as `Run.service_model` says.

    Raises:
        UsageError: users in a closed loop, no pod was seen, or the pods were never overloaded, or always.
    """
    columns = timeline.select(["offered_rps", "ok_rps", "replicas_ready", "cpu_cores"]).to_pylist()
    if all(row["offered_rps"] is None for row in columns):
        raise UsageError(
            "users in a closed loop do not show what a pod can take",
            where="service_model",
            expected="a load test with rates: LoadProfile.steps(rps=[...])",
        )
    seconds = []
    for t, row in enumerate(columns):
        if row["replicas_ready"] is None or row["replicas_ready"] != columns[0]["replicas_ready"]:
            break
        counts = results.requests.get(int(start) + t)
        latency = mean_latency(counts.histogram) if counts else None
        answered = row["ok_rps"] or 0.0
        seconds.append(
            Measured(row["offered_rps"] or 0.0, answered, latency, row["replicas_ready"], row["cpu_cores"])
        )
    starts = [
        row["ready"] - row["created"]
        for row in pod_rows(samples, start)
        if row["ready"] is not None and row["created"] is not None
    ]
    if not starts:
        raise UsageError(
            "no pod's start was seen", where="service_model", expected="pods in cluster.jsonl of the run"
        )
    return ServiceModel.fit(seconds, start=max(1.0, median(starts)))  # the API tells whole seconds


def mean_latency(histogram: dict[int, int]) -> float | None:
    """Return the mean of a histogram {bucket: count} in seconds; None for an empty one."""
    buckets = np.fromiter(histogram, dtype=np.int64, count=len(histogram))
    counts = np.fromiter(histogram.values(), dtype=np.int64, count=len(histogram))
    return float(VALUES[buckets] @ counts / counts.sum()) if len(histogram) else None
