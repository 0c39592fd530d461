"""Two runs beside each other: percentile curves with bands, differences with what is allowed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlk8s.assess.compare import Band, Block, Comparison, Difference, band
from mlk8s.errors import UsageError
from mlk8s.report.alt import milliseconds
from mlk8s.report.html import Report
from mlk8s.report.picture import Picture
from mlk8s.report.plots import BLACK, BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SEEDS = (1, 2)
_PERCENT = (50, 90, 99, 99.9)


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes:
        name: what it is called in the report.
        blocks: its requests by blocks of time.
        facts: where and with what it was measured.
    """

    name: str
    blocks: Sequence[Block]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class RunComparison(Comparison):
    """A run beside its baseline; a notebook shows the plots.

    Attributes:
        title: the load that both had.
        baseline, run: the two.
    """

    title: str = ""
    baseline: Side = field(default=Side("", (), {}), repr=False)
    run: Side = field(default=Side("", (), {}), repr=False)

    def plot(self) -> Picture:
        """Return the percentile curves with their confidence bands, and the differences.

        Raises:
            UsageError: a run without any right answer.
        """
        return draw_comparison(self)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML file and return its path.

        Raises:
            UsageError: the file cannot be written.
        """
        report = Report(
            f"Compared: {self.title}", f"{self.run.name} against the baseline {self.baseline.name}"
        )
        head, *lines = str(self).splitlines()
        try:
            picture = self.plot()
        except UsageError as error:
            picture, lines = None, [*lines, str(error)]
        words = "broken" if self.worse else "held" if all(_known(self)) else "inconclusive"
        report.section("Result", text=[f"The run is {head}.", _MEANING], verdict=words, table=rows(self))
        report.section("Latency and differences", figure=picture, text=_CAPTION if picture else lines)
        sides = [(side.name, side.facts) for side in (self.baseline, self.run)]
        names = dict.fromkeys(name for _, facts in sides for name in facts)
        table = [
            {"fact": name, "baseline": self.baseline.facts.get(name), "run": self.run.facts.get(name)}
            for name in names
        ]
        report.section("Where and with what", table=table)
        report.section("Do it again", code=again(self))
        return report.write(path)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        found = {"text/plain": str(self)}
        try:
            return found | {"text/html": self.plot()._repr_mimebundle_()["text/html"]}
        except UsageError:
            return found


_MEANING = (
    "Worse is what is certainly worse than allowed: the whole interval of the difference lies above it. "
    "Blocks of neighbouring seconds are drawn again and again with replacement (bootstrap), so that noise "
    "which many requests share is not taken for certainty."
)
_CAPTION = (
    "Above: how slow the slower requests are; a band holds each point of its curve alone with the "
    "confidence. Below: how much higher the run is than its baseline. Each bar is the interval of a "
    "difference, all of them together with the confidence; the mark in it is the difference itself, the "
    "dotted line what is allowed."
)


def rows(found: Comparison) -> list[dict[str, Any]]:
    """Return a row a number that is compared."""
    words = {True: "worse", False: "not certainly worse", None: "too little to compare"}
    return [
        {
            "number": item.name,
            "baseline": _shown(item.name, item.baseline),
            "run": _shown(item.name, item.run),
            "difference, from": _shown(item.name, item.low),
            "to": _shown(item.name, item.high),
            "allowed": _shown(item.name, item.allowed) if item.low is not None else None,
            "verdict": words[item.worse],
        }
        for item in found.differences
    ]


def again(found: RunComparison) -> str:
    """Return the command and the Python that compare the same two directories."""
    one, other = found.baseline.facts["Results"], found.run.facts["Results"]
    return (
        f"mlk8s compare {one} {other} --confidence {found.confidence:g}\n\n"
        f"import mlk8s\nmlk8s.Run.open({other!r}).compare(mlk8s.Run.open({one!r}), "
        f"confidence={found.confidence:g})"
    )


def draw_comparison(found: RunComparison) -> Picture:
    """Draw two runs.

    Raises:
        UsageError: a run without any right answer.
    """
    from matplotlib.figure import Figure

    sides = (found.baseline, found.run)
    bands = [
        band(side.blocks, confidence=found.confidence, seed=seed)
        for side, seed in zip(sides, _SEEDS, strict=True)
    ]
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    above, latency, errors = figure.subplot_mosaic(
        [["above", "above"], ["latency", "errors"]], height_ratios=[1.5, 1], width_ratios=[3, 1.3]
    ).values()
    _curves(above, bands, found.confidence)
    known = [item for item in found.differences if item.low is not None]
    _differences(latency, [item for item in known if item.name != "errors"])
    _differences(errors, [item for item in known if item.name == "errors"])
    for panel in (above, latency, errors):
        panel.grid(True, color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    figure.suptitle(found.title, fontsize=12, fontweight="bold")
    return Picture(figure, _words(found, bands))


def _curves(panel: Axes, bands: Sequence[Band], confidence: float) -> None:
    styles: list[dict[str, Any]] = [
        {"color": BLACK, "linestyle": "--", "label": "baseline"},
        {"color": BLUE, "linestyle": "-", "label": "run"},
    ]
    fills: list[dict[str, Any]] = [
        {"facecolor": "none", "edgecolor": "#888888", "hatch": "////", "linewidth": 0.5},
        {"facecolor": BLUE, "alpha": 0.25, "linewidth": 0},
    ]
    for one, style, fill in zip(bands, styles, fills, strict=True):
        place = -np.log10(1 - one.shares)
        label = f"{style['label']}, {100 * confidence:g} % band"
        panel.fill_between(place, 1000 * one.low, 1000 * one.high, label=label, **fill)
        panel.plot(place, 1000 * one.latency, linewidth=1.8, **style)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    panel.tick_params(axis="y", which="minor", labelsize=7.5)
    panel.set_xticks(
        [-np.log10(1 - percent / 100) for percent in _PERCENT], [f"p{percent:g}" for percent in _PERCENT]
    )
    panel.set_xlabel("share of right answers that were as fast or faster (percentile)")
    panel.set_ylabel("milliseconds (log scale)")
    panel.set_title("Latency of right answers", loc="left")
    panel.legend(frameon=False, ncols=2, fontsize=9)


def _differences(panel: Axes, found: Sequence[Difference]) -> None:
    """Draw each interval, in percent of the baseline, or for errors in points."""
    errors = bool(found) and found[0].name == "errors"
    for place, item in enumerate(found):
        unit = 100.0 if errors else 100.0 / item.baseline if item.baseline else 0.0
        low, high, allowed = (unit * (value or 0.0) for value in (item.low, item.high, item.allowed))
        middle = unit * ((item.run or 0.0) - (item.baseline or 0.0))
        colour, marker = (VERMILLION, "X") if item.worse else (BLUE, "o")
        panel.plot([low, high], [place, place], color=colour, linewidth=3, solid_capstyle="butt")
        panel.plot([middle], [place], color=BLACK, marker=marker, markersize=7)
        panel.plot([allowed, allowed], [place - 0.35, place + 0.35], color=BLACK, linestyle=":", linewidth=2)
    panel.axvline(0, color=BLACK, linewidth=0.8)
    panel.set_yticks(range(len(found)), [f"{item.name}{': worse' if item.worse else ''}" for item in found])
    panel.set_ylim(len(found) - 0.4, -0.6)
    panel.set_xlabel("percentage points" if errors else "percent of the baseline")
    panel.set_title("Errors" if errors else "Run minus baseline (dotted: allowed)", loc="left")
    if not found:
        panel.text(0.5, 0.5, "too little to compare", transform=panel.transAxes, ha="center", color="#555555")


def _words(found: RunComparison, bands: Sequence[Band]) -> str:
    one, other = (
        f"p50 {milliseconds(float(each.latency[0]))} and p99.9 {milliseconds(float(each.latency[-1]))}"
        for each in bands
    )
    head, *lines = str(found).splitlines()
    return (
        f"Percentile curves of two runs with confidence bands, and their differences: the run is {head}. "
        f"Baseline: {one}; run: {other}. " + "; ".join(lines) + "."
    )


def _known(found: Comparison) -> list[bool]:
    return [item.worse is not None for item in found.differences]


def _shown(name: str, value: float | None) -> str | None:
    if value is None:
        return None
    return f"{100 * value:.3g} %" if name == "errors" else f"{1000 * value:.3g} ms"
