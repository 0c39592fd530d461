"""Numbers of a decision as people read them."""

from __future__ import annotations

from mlk8s.assess.evidence.decision import MetricEvidence


def metric_words(item: MetricEvidence) -> str:
    """Return what a metric counts: 'failed requests', 'requests above 100 ms (p99)'."""
    if item.latency_bound is None:
        return "failed requests" if item.name == "errors" else item.name
    return f"requests above {1000 * item.latency_bound:.4g} ms ({item.name})"


def share_words(share: float | None) -> str:
    """Return a share in percent with two or three digits."""
    if share is None:
        return "no request"
    return "0 %" if share < 1e-5 else f"{100 * share:.3g} %"


def count_words(count: int) -> str:
    """Return a count that is an estimate: with two digits."""
    if count < 100:
        return f"{count}"
    unit = 10 ** (len(str(count)) - 2)
    return f"{round(count / unit) * unit:,}"


def duration_words(seconds: float) -> str:
    """Return seconds as '2 h 5 min', '3 min', '40 s'."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = ((hours, "h"), (minutes, "min"), (rest if not hours else 0, "s"))
    return " ".join(f"{value} {unit}" for value, unit in parts if value)
