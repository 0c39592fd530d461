"""The plots of a load test on one time axis: load, latency, errors, replicas with their metric, moments, CPU.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color), told apart with every common colour blindness; line
styles tell the lines apart without colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlk8s.report.alt import describe
from mlk8s.report.heat import Heat
from mlk8s.report.picture import Picture
from mlk8s.report.summary import Summary
from mlk8s.report.timeline import KINDS
from mlk8s.spec.load import Slo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
PERCENTILE_STYLES: dict[str, tuple[str, str, float]] = {
    "p50": (SKY, ":", 2.0),
    "p90": (BLUE, "--", 1.2),
    "p95": (PURPLE, "-.", 1.2),
    "p99": (VERMILLION, "-", 1.5),
}

KIND_STYLES: dict[str, tuple[str, Any, str]] = {
    "connection": (VERMILLION, "--", "connection"),
    "timeout": (BLUE, ":", "time-out"),
    "status": (ORANGE, "-.", "HTTP status"),
    "wrong": (PURPLE, (0, (6, 1, 1, 1, 1, 1)), "wrong answer"),
    "shed": (GREEN, (0, (1, 3)), "shed"),
}
_TICKS = {
    ("pod", "scheduled"): "pod scheduled",
    ("pod", "started"): "pod started",
    ("pod", "ready"): "pod ready",
    ("pod", "asked to stop"): "pod asked to stop",
    ("autoscaler", ""): "autoscaler's event",
    ("condition", ""): "its condition changed",
}
"""Kind and step of a moment (any, where empty), and the name of its row."""

_WIDTH, _INCHES = 10.0, 2.35
_TOP, _BOTTOM, _RIGHT, _GAP = 0.75, 0.55, 0.8, 0.5
"""Inches: of the figure and a panel of height 1, around the panels, and between two."""

_MANY_ROWS = 900
"""Seconds from which on a picture is made of pixels."""

Series = np.ndarray[Any, np.dtype[np.float64]]


def draw(
    timeline: pa.Table,
    summary: Summary,
    *,
    slo: Slo | None = None,
    title: str = "",
    metric: str | None = None,
    warmup: float = 0.0,
    heat: Heat | None = None,
    events: pa.Table | None = None,
) -> Picture:
    """Draw a run.

    Args:
        timeline: as mlk8s.report.timeline.build returns it.
        summary: of the same run; its numbers make the alt text.
        slo: drawn as horizontal lines where it bounds a latency percentile or the errors.
        metric: name of the autoscaler's metric, for its axis.
        heat: the distribution of latency, drawn behind its percentiles: the darker, the more answers.
        warmup: seconds at the beginning that are shaded: no number counts them.
        events: as mlk8s.report.moments.moments returns them; pods and autoscaler get a panel of their own.
    """
    columns = {name: _series(timeline, name) for name in timeline.column_names}
    panels: list[tuple[float, Callable[[Axes], None]]] = [
        (1.0, lambda panel: _load(panel, columns)),
        (1.0, lambda panel: _latency(panel, columns, slo, heat)),
        (0.7, lambda panel: _errors(panel, columns, slo)),
        (1.15, lambda panel: _replicas(panel, columns, metric)),
    ]
    ticks = _ticks(events, timeline.num_rows)
    if ticks:
        panels.append((0.12 + 0.11 * len(ticks), lambda panel: _moments(panel, ticks)))
    if np.isfinite(columns["cpu_cores"]).any() or np.isfinite(columns["memory_bytes"]).any():
        panels.append((0.7, lambda panel: _usage(panel, columns)))
    heights = [_INCHES * height for height, _ in panels]
    figure, axes = _figure(heights, left=1.45 if ticks else 0.9)
    for panel, (_, fill) in zip(axes, panels, strict=True):
        fill(panel)
    for panel in axes:
        panel.grid(True, color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        panel.margins(x=0.01)
        if warmup:
            panel.axvspan(0, warmup, color="#eeeeee", zorder=0)
            panel.text(
                0, 0.02, " warm-up", transform=panel.get_xaxis_transform(), fontsize=8, color="#555555"
            )
    axes[-1].set_xlabel("time since the start of the load (s)")
    if title:
        figure.suptitle(
            title, fontsize=13, fontweight="bold", y=1 - 0.1 / figure.get_size_inches()[1], va="top"
        )
    words = describe(timeline, summary, metric, panels=len(panels))
    return Picture(figure, words, raster=timeline.num_rows > _MANY_ROWS)


def _figure(heights: Sequence[float], *, left: float) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with one panel below the other, in inches.

    The places are given: an engine that looks for them lays out every text twice.
    """
    # Figure, not pyplot: no backend is chosen and no figure is kept in a global list.
    from matplotlib.figure import Figure

    count, whole = len(heights), _TOP + sum(heights) + _GAP * (len(heights) - 1) + _BOTTOM
    figure = Figure(figsize=(_WIDTH, whole))
    axes = figure.subplots(
        count, 1, sharex=True, height_ratios=heights,
        gridspec_kw={
            "left": left / _WIDTH, "right": 1 - _RIGHT / _WIDTH, "top": 1 - _TOP / whole,
            "bottom": _BOTTOM / whole, "hspace": _GAP * count / sum(heights),
        },
    )  # fmt: skip
    return figure, axes


def draw_glance(
    timeline: pa.Table, summary: Summary, *, slo: Slo | None = None, warmup: float = 0.0
) -> Picture:
    """Draw load, latency and replicas of a run side by side, small enough for a notebook's cell."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = {name: _series(timeline, name) for name in timeline.column_names}
    columns["metric_target"] = np.full(timeline.num_rows, np.nan)  # its axis has no room here
    figure = Figure(figsize=(12, 3.1), layout=ConstrainedLayoutEngine(w_pad=0.08))
    axes: Sequence[Axes] = figure.subplots(1, 3)
    _load(axes[0], columns)
    _latency(axes[1], columns, slo, None)
    _replicas(axes[2], columns, None)
    for panel, title in zip(
        axes, ("Load and throughput", "Latency of right answers", "Replicas"), strict=True
    ):
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_xlabel("time since the start of the load (s)")
        panel.grid(True, color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.01)
        if warmup:
            panel.axvspan(0, warmup, color="#eeeeee", zorder=0)
        lines, labels = panel.get_legend_handles_labels()
        if lines:  # below: beside the title there is no room
            panel.legend(
                lines, labels, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4, frameon=False,
                fontsize=8.5, handlelength=2.2, columnspacing=1.1,
            )  # fmt: skip
    alt = describe(timeline, summary).replace("Four plots", "Load, latency and replicas", 1)
    return Picture(figure, alt)


def _load(panel: Axes, columns: dict[str, Series]) -> None:
    t = columns["t"]
    panel.set_title("Load and throughput", loc="left")
    offered = columns["offered_rps"]
    if np.isfinite(offered).any():  # users in a closed loop offer no rate
        panel.plot(t, offered, color=BLACK, linestyle="--", drawstyle="steps-post", label="offered")
    panel.plot(t, columns["sent_rps"], color=ORANGE, linestyle=":", linewidth=3.2, label="sent")
    panel.plot(t, columns["ok_rps"], color=BLUE, label="answered rightly")
    panel.set_ylabel("requests/s")
    panel.set_ylim(bottom=0)
    _legend(panel)


def _latency(panel: Axes, columns: dict[str, Series], slo: Slo | None, heat: Heat | None) -> None:
    panel.set_title("Latency of right answers", loc="left")
    if heat is not None:
        from matplotlib.colors import LinearSegmentedColormap, PowerNorm

        # From white to a middle grey, so that the lines are seen in front of it, in black and white, too.
        greys = LinearSegmentedColormap.from_list("greys", ["#f7f7f7", "#9a9a9a"])
        panel.pcolormesh(
            heat.seconds,
            1000 * heat.latency,
            heat.shares,
            cmap=greys,
            norm=PowerNorm(0.4, 0, 1),
            rasterized=True,
        )
    for name, (colour, style, width) in PERCENTILE_STYLES.items():
        panel.plot(
            columns["t"], 1000 * columns[name], color=colour, linestyle=style, linewidth=width, label=name
        )
    for name, bound in (slo.latency if slo else {}).items():
        panel.axhline(
            1000 * bound, color=BLACK, linestyle=(0, (1, 2)), label=f"SLO {name} {1000 * bound:g} ms"
        )
    panel.set_ylabel("milliseconds (log scale)")
    if np.isfinite(columns["p50"]).any():
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        _nothing(panel, "no right answers")
    _legend(panel)


def _errors(panel: Axes, columns: dict[str, Series], slo: Slo | None) -> None:
    panel.set_title("Errors", loc="left")
    rate = 100 * columns["error_rate"]
    panel.plot(columns["t"], rate, color=BLACK, linewidth=1, label="all")
    ended = columns["ok_rps"] + sum(columns[f"errors_{kind}"] for kind in KINDS)
    for kind, (colour, style, name) in KIND_STYLES.items():
        count = columns[f"errors_{kind}"]
        if np.nansum(count):
            share = 100 * np.divide(count, ended, out=np.full_like(count, np.nan), where=ended > 0)
            panel.plot(columns["t"], share, color=colour, linestyle=style, linewidth=2.2, label=name)
    if np.isfinite(columns["server_error_rate"]).any():
        seen = 100 * columns["server_error_rate"]
        panel.plot(columns["t"], seen, color=BLUE, linestyle="--", label="5xx, by the pods")
    if slo and slo.errors is not None:
        bound = 100 * slo.errors
        panel.axhline(bound, color=BLACK, linestyle=(0, (1, 2)), label=f"SLO {bound:g} %")
    finite = rate[np.isfinite(rate)]
    highest = max(float(finite.max(initial=0.0)), 100 * (slo.errors or 0.0) if slo else 0.0, 0.8)
    panel.set_ylim(-0.02 * highest, 1.2 * highest)
    panel.set_ylabel("percent of ended requests", fontsize=9)
    _legend(panel)


def _replicas(panel: Axes, columns: dict[str, Series], metric: str | None) -> None:
    from matplotlib.ticker import MaxNLocator

    t = columns["t"]
    panel.set_title("Replicas and metric", loc="left")
    step: dict[str, Any] = {"drawstyle": "steps-post"}
    panel.plot(t, columns["replicas_desired"], color=BLACK, linestyle="--", label="desired", **step)
    panel.plot(
        t, columns["replicas_current"], color=ORANGE, linestyle=":", linewidth=2.4, label="current", **step
    )
    panel.plot(t, columns["replicas_ready"], color=GREEN, linewidth=2, label="ready", **step)
    ready = columns["replicas_ready"]
    if np.isfinite(ready).any():
        panel.fill_between(t, 0, ready, step="post", color=GREEN, alpha=0.12, linewidth=0)
    else:
        _nothing(panel, "replicas were not observed")
    panel.set_ylabel("pods")
    panel.set_ylim(
        0,
        None
        if not np.isfinite(ready).any()
        else 1.12 * float(np.nanmax([ready, columns["replicas_desired"]])),
    )
    panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    lines, labels = panel.get_legend_handles_labels()
    if np.isfinite(columns["metric_target"]).any():
        other = panel.twinx()
        name = metric or "metric"
        other.plot(
            t,
            columns["metric"],
            color=PURPLE,
            linestyle=(0, (6, 1, 1, 1)),
            linewidth=1.3,
            label=f"{name} a pod",
        )
        other.plot(t, columns["metric_target"], color=PURPLE, linestyle=(0, (1, 2)), label="target")
        other.set_ylabel(f"{name} a pod")
        other.set_ylim(bottom=0)
        other.spines["top"].set_visible(False)
        more, names = other.get_legend_handles_labels()
        lines, labels = lines + more, labels + names
    _legend(panel, lines, labels)


def _ticks(events: pa.Table | None, seconds: int) -> dict[str, list[float]]:
    """Return the moments within a run, by the row that they are drawn in."""
    found: dict[str, list[float]] = {}
    for row in events.to_pylist() if events is not None else ():
        name = _TICKS.get((row["kind"], row["what"])) or _TICKS.get((row["kind"], ""))
        if name and 0 <= row["t"] <= seconds:
            found.setdefault(name, []).append(row["t"])
    return {name: found[name] for name in _TICKS.values() if name in found}


def _moments(panel: Axes, ticks: dict[str, list[float]]) -> None:
    panel.set_title("Pods and autoscaler, moment by moment", loc="left")
    places = range(len(ticks))
    panel.eventplot(
        list(ticks.values()), lineoffsets=list(places), linelengths=0.7, linewidths=1.6, colors=BLACK
    )
    panel.set_yticks(list(places), list(ticks), fontsize=8.5)
    panel.set_ylim(len(ticks) - 0.4, -0.6)


def _usage(panel: Axes, columns: dict[str, Series]) -> None:
    panel.set_title("CPU and memory of all pods", loc="left")
    panel.plot(columns["t"], columns["cpu_cores"], color=BLUE, drawstyle="steps-post", label="CPU (left)")
    panel.set_ylabel("CPUs")
    panel.set_ylim(bottom=0)
    other = panel.twinx()
    memory = columns["memory_bytes"] / 2**20
    other.plot(
        columns["t"], memory, color=ORANGE, linestyle="--", drawstyle="steps-post", label="memory (right)"
    )
    other.set_ylabel("MiB")
    other.set_ylim(bottom=0)
    other.spines["top"].set_visible(False)
    handles = [
        pair for axis in (panel, other) for pair in zip(*axis.get_legend_handles_labels(), strict=True)
    ]
    _legend(panel, *zip(*handles, strict=True))


def _legend(panel: Axes, *content: Any) -> None:
    panel.legend(
        *content, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=8, frameon=False, fontsize=8.5,
        handlelength=2.2, columnspacing=1.0, borderaxespad=0.2,
    )  # fmt: skip


def _nothing(panel: Axes, words: str) -> None:
    panel.text(0.5, 0.5, words, transform=panel.transAxes, ha="center", va="center", color="#555555")


def _series(timeline: pa.Table, name: str) -> Series:
    """Return a column as floats, NaN where nothing was seen: matplotlib leaves a gap there."""
    values = timeline.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)
