"""Feeds Locust's own statistics with what the engine recorded, so that its tables, CSVs and web UI stay
usable.

Locust counts one request at a time and rounds its response time to whole milliseconds, above 100 ms to two
digits. Here a second's requests are added at once, with the middles of the recorder's buckets.
"""

from __future__ import annotations

from typing import Any

from mlk8s.loadgen.histogram import value_of

METHOD = "POST"


def feed(stats: Any, line: dict[str, Any]) -> None:
    """Add one line of kind "requests" to a locust.stats.RequestStats."""
    failed = line["outcome"] != "ok"
    latencies = {1000 * value_of(int(bucket)): count for bucket, count in line["hist"].items()}
    for entry in (stats.total, stats.get(line["name"], METHOD)):
        _add(entry, line["t"], line["count"], latencies, failed)
    if failed:
        from locust.stats import StatsError

        error = f"{line['outcome']} (status {line['status']})"
        key = StatsError.create_key(METHOD, line["name"], error)
        known = stats.errors.setdefault(key, StatsError(METHOD, line["name"], error))
        known.occurrences += line["count"]


def _add(entry: Any, second: int, count: int, latencies: dict[float, int], failed: bool) -> None:
    entry.num_requests += count
    entry.num_reqs_per_sec[second] += count
    entry.last_request_timestamp = max(entry.last_request_timestamp or 0.0, float(second))
    for milliseconds, number in latencies.items():
        entry.response_times[milliseconds] += number
        entry.total_response_time += milliseconds * number
    lowest = [value for value in (entry.min_response_time, min(latencies)) if value is not None]
    entry.min_response_time = min(lowest)
    entry.max_response_time = max(entry.max_response_time, *latencies)
    if failed:
        entry.num_failures += count
        entry.num_fail_per_sec[second] += count
