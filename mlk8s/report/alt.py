"""The plots of a load test in words, made of the same numbers: their alt text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mlk8s.report.summary import Summary


def describe(timeline: pa.Table, summary: Summary, metric: str | None = None) -> str:
    """Return true sentences about load, latency, errors and replicas of a run."""
    seconds = timeline.num_rows
    total = summary.total
    first = f"Four plots over {seconds} seconds."
    if total.total:
        offered = pc.max(timeline["offered_rps"]).as_py()
        load = "Users in a closed loop" if offered is None else f"At most {offered:g} requests/s were offered"
        peak = pc.max(timeline["ok_rps"]).as_py() or 0
        first += f" {load}, at most {peak:g} requests/s answered rightly; {total.total:,} requests ended."
    else:
        first += " No request was answered."
    return " ".join(
        part
        for part in (first, _latency(summary), _errors(summary), _replicas(timeline, summary, metric))
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


def milliseconds(seconds: float | None) -> str:
    """Return a latency in milliseconds with three digits, or a dash."""
    if seconds is None:
        return "–"
    value = 1000 * seconds
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"
