"""The plots of a load test in words, made of the same numbers: their alt text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mlk8s.report.summary import Summary

_NUMBERS = {4: "Four", 5: "Five", 6: "Six"}


def describe(timeline: pa.Table, summary: Summary, metric: str | None = None, *, panels: int = 4) -> str:
    """Return true sentences about load, latency, errors, replicas, CPU and memory of a run."""
    seconds = timeline.num_rows
    total = summary.total
    first = f"{_NUMBERS[panels]} plots over {seconds} seconds."
    if total.total:
        offered = pc.max(timeline["offered_rps"]).as_py()
        load = "Users in a closed loop" if offered is None else f"At most {offered:g} requests/s were offered"
        peak = pc.max(timeline["ok_rps"]).as_py() or 0
        first += f" {load}, at most {peak:g} requests/s answered rightly; {total.total:,} requests ended."
    else:
        first += " No request was answered."
    return " ".join(
        part
        for part in (
            first,
            _latency(summary),
            _errors(summary),
            _replicas(timeline, summary, metric),
            _usage(timeline),
        )
        if part
    )


def _latency(summary: Summary) -> str:
    found = summary.percentiles
    if found["p50"] is None or found["p99"] is None:
        return ""
    return f"Latency over the whole run: p50 {milliseconds(found['p50'])}, p99 {milliseconds(found['p99'])}."


def _errors(summary: Summary) -> str:
    total = summary.total
    if not total.total:
        return ""
    wrong = total.total - total.ok
    if not wrong:
        return "No request failed."
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(total.outcomes.items()) if name != "ok")
    return f"{wrong:,} requests ({100 * wrong / total.total:.2g} %) had no right answer: {kinds}."


def _replicas(timeline: pa.Table, summary: Summary, metric: str | None) -> str:
    text = summary.scaling.sentence()
    peak, target = pc.max(timeline["metric"]).as_py(), pc.max(timeline["metric_target"]).as_py()
    if peak is not None and target is not None:
        text += f" {metric or 'The metric'} a pod was at most {peak:.3g}; its target is {target:g}."
    return text


def _usage(timeline: pa.Table) -> str:
    cpu, memory = pc.max(timeline["cpu_cores"]).as_py(), pc.max(timeline["memory_bytes"]).as_py()
    found = [f"{cpu:.3g} CPUs"] if cpu is not None else []
    found += [f"{memory / 2**20:,.0f} MiB"] if memory is not None else []
    return f"All pods together used at most {' and '.join(found)}." if found else ""


def milliseconds(seconds: float | None) -> str:
    """Return a latency in milliseconds with three digits, or a dash."""
    if seconds is None:
        return "–"
    value = 1000 * seconds
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"
