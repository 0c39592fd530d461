"""Latency against throughput: what a service can do before it costs latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlk8s.errors import UsageError
from mlk8s.report.alt import milliseconds
from mlk8s.report.picture import Picture
from mlk8s.report.plots import BLACK, PERCENTILE_STYLES
from mlk8s.report.summary import StageSummary, Summary
from mlk8s.spec.load import Slo

_FEWEST = 3
_BEND = 0.15
"""Distance from the straight line between both ends, of the plot's height, that makes a knee."""


def knee(throughput: Sequence[float], latency: Sequence[float]) -> int | None:
    """Return the index of the knee of a rising curve, or None where it has none.

    The point farthest below the straight line between both ends, both axes scaled to 0..1 (Satopää et al.,
    Finding a "Kneedle" in a Haystack, 2011, without its smoothing).
    """
    x, y = np.asarray(throughput, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    if len(x) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    below = (x - x.min()) / np.ptp(x) - (y - y.min()) / np.ptp(y)
    best = int(np.argmax(below))
    return best if 0 < best < len(x) - 1 and below[best] >= _BEND else None


def draw_curve(summary: Summary, slo: Slo | None = None, *, title: str = "") -> Picture:
    """Draw p50 and p99 over the throughput of each stage.

    Raises:
        UsageError: fewer than three stages had right answers.
    """
    from matplotlib.figure import Figure

    stages = sorted(
        (stage for stage in summary.stages if stage.percentiles["p99"] is not None),
        key=lambda stage: stage.ok_rps,
    )
    if len(stages) < _FEWEST:
        raise UsageError(
            f"{len(stages)} stages had right answers",
            where="curve",
            expected=f"{_FEWEST} or more: LoadProfile.steps(rps=[...])",
        )
    rates = [stage.ok_rps for stage in stages]
    slow = [stage.percentiles["p99"] or 0.0 for stage in stages]
    bend = knee(rates, slow)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    panel = figure.subplots()
    for name in ("p50", "p99"):
        colour, style, width = PERCENTILE_STYLES[name]
        values = [1000 * (stage.percentiles[name] or 0.0) for stage in stages]
        panel.plot(rates, values, color=colour, linestyle=style, linewidth=width, marker="o", label=name)
    for name, bound in (slo.latency if slo else {}).items():
        panel.axhline(
            1000 * bound, color=BLACK, linestyle=(0, (1, 2)), label=f"SLO {name} {1000 * bound:g} ms"
        )
    if bend is not None:
        panel.annotate(
            f"knee: {rates[bend]:.3g}/s", (rates[bend], 1000 * slow[bend]), (0, 28),
            textcoords="offset points", ha="center", arrowprops={"arrowstyle": "->"},
        )  # fmt: skip
    panel.set_xlabel("right answers a second")
    panel.set_ylabel("milliseconds (log scale)")
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.set_xlim(left=0)
    panel.grid(True, color="#dddddd", linewidth=0.6)
    panel.legend(frameon=False)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return Picture(figure, _words(stages, bend))


def _words(stages: Sequence[StageSummary], bend: int | None) -> str:
    first, last = stages[0], stages[-1]
    text = (
        f"Latency against throughput, {len(stages)} stages: p99 {milliseconds(first.percentiles['p99'])} at "
        f"{first.ok_rps:.3g} right answers a second, {milliseconds(last.percentiles['p99'])} at "
        f"{last.ok_rps:.3g}."
    )
    if bend is None:
        return text + " The curve has no knee."
    stage = stages[bend]
    return text + f" The knee is at {stage.ok_rps:.3g}/s with {milliseconds(stage.percentiles['p99'])}."
