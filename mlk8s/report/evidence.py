"""A rollout as a picture: intervals that close in on the SLO, and the evidence against its decision lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mlk8s.assess.evidence.blocks import Block
from mlk8s.assess.evidence.decision import Claim, Decision, MetricEvidence
from mlk8s.assess.evidence.record import Record
from mlk8s.assess.evidence.words import metric_words, share_words
from mlk8s.errors import UsageError
from mlk8s.report.picture import Picture
from mlk8s.report.plots import BLACK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colour-blind safe (Okabe and Ito): told apart by line style, too.
_STYLES: dict[Claim, tuple[str, str]] = {
    "within the SLO": ("#0072B2", "-"),
    "worse than the SLO": ("#D55E00", "--"),
    "worse than stable": ("#CC79A7", "-."),
}
_BAND, _GREY = "#56B4E9", "#777777"
FLOOR = -2.5
"""log10 below which evidence is not drawn: all of it speaks against the claim."""
_TOP = 5.0
"""The largest share that is drawn, in bounds: the first intervals reach 100 %."""
Entries = Sequence[tuple[Block, Decision]]


def draw_evidence(record: Record, *, title: str = "") -> Picture:
    """Draw a rollout: for each metric its interval beside the SLO, its evidence, and the weight below.

    Raises:
        UsageError: the record has no block yet.
    """
    if not record.entries:
        raise UsageError("the rollout has no block yet", where="draw_evidence", expected="one block or more")
    verdict = record.entries[-1][1].verdict
    return draw_entries(record.entries, title=f"{title}: {verdict}" if title else verdict)


def draw_entries(entries: Entries, *, title: str) -> Picture:
    """Draw the blocks of a rollout with what was decided after each; there is one at least."""
    from matplotlib.figure import Figure

    decisions = [decision for _, decision in entries]
    last = decisions[-1]
    count = len(last.metrics)
    figure = Figure(figsize=(max(6.5, 4.6 * count), 7.2), layout="constrained")
    panels = figure.subplots(3, count, squeeze=False, sharex=True, height_ratios=(3, 3, 1.6))
    minutes = [minutes_of(*entry) for entry in entries]
    for index, metric in enumerate(last.metrics):
        found = [decision.metrics[index] for decision in decisions]
        _interval(panels[0][index], minutes, found)
        _evidence(panels[1][index], minutes, found)
        _traffic(panels[2][index], minutes, [block for block, _ in entries])
        panels[0][index].set_title(metric_words(metric), fontsize=11)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return Picture(figure, describe(entries), caption=last.reasons[0])


def minutes_of(block: Block, decision: Decision) -> float:
    """Return the minute since the start at which a block ended."""
    return (block.end - decision.at + decision.elapsed) / 60


def share_limit(bound: float, estimates: Iterable[float | None]) -> float:
    """Return the largest share that is drawn: the bound and what was seen fit, the first intervals do not."""
    highest = max([1.5 * bound, *(value for value in estimates if value is not None)])
    return min(1.0, max(_TOP * bound, 1.3 * highest))


def describe(entries: Entries) -> str:
    """Return what the picture shows in whole sentences: its alt text."""
    last = entries[-1][1]
    missing = f", {last.missing} of them without data" if last.missing else ""
    parts = [
        f"A canary over {last.elapsed / 60:.1f} minutes and {last.blocks} blocks{missing}: "
        f"{last.requests:,} requests, verdict {last.verdict}."
    ]
    parts += [_metric_sentence(metric) for metric in last.metrics]
    if last.verdict == "waiting" and last.to_go is not None:
        parts.append(f"About {last.to_go:,} requests to go.")
    return " ".join(parts)


def _metric_sentence(metric: MetricEvidence) -> str:
    words = metric_words(metric)
    shown = (
        f"{words[0].upper()}{words[1:]}: {share_words(metric.estimate)}, between {share_words(metric.low)} "
        f"and {share_words(metric.high)}, SLO {share_words(metric.bound)}."
    )
    reached = [one.claim for one in metric.evidence if one.reached]
    if reached:
        return f"{shown} The evidence for {' and for '.join(reached)} reached its line."
    best = max(metric.evidence, key=lambda one: one.log10 / one.line)
    powers = f"{best.log10:.1f} of {best.line:.1f} powers of ten"
    return f"{shown} No claim reached its line; nearest is {best.claim}, {powers}."


def _interval(axes: Axes, minutes: Sequence[float], found: Sequence[MetricEvidence]) -> None:
    bound = found[-1].bound
    axes.fill_between(
        minutes, [100 * one.low for one in found], [100 * one.high for one in found], color=_BAND, alpha=0.35,
        linewidth=0, label="canary, interval",
    )  # fmt: skip
    seen = [None if one.estimate is None else 100 * one.estimate for one in found]
    axes.plot(minutes, _numbers(seen), color="#0072B2", label="canary")
    stable = [None if one.stable_estimate is None else 100 * one.stable_estimate for one in found]
    axes.plot(minutes, _numbers(stable), color=_GREY, linestyle=":", label="stable")
    axes.axhline(
        100 * bound, color=BLACK, linestyle=(0, (5, 2)), linewidth=1, label=f"SLO {share_words(bound)}"
    )
    axes.set_ylim(0, 100 * share_limit(bound, (one.estimate for one in found)))
    axes.set_ylabel("bad requests in %")
    _finish(axes, "best")


def _evidence(axes: Axes, minutes: Sequence[float], found: Sequence[MetricEvidence]) -> None:
    top, lines = 0.0, dict[Claim, float]()
    for claim, (colour, style) in _STYLES.items():
        series = [one.claim(claim) for one in found]
        if series[-1] is None:
            continue
        values = [max(FLOOR, one.log10) for one in series if one]
        line = series[-1].line
        axes.plot(minutes, values, color=colour, linestyle=style, label=claim)
        axes.axhline(line, color=colour, linestyle=style, linewidth=0.8, alpha=0.6)
        if claim != "worse than stable":  # its line is that of "worse than the SLO"
            lines[claim] = line
        top = max(top, line, *values)
    axes.set_ylim(FLOOR, min(8.0, top + 1.8))
    upper = max(lines, key=lambda claim: (lines[claim], claim))  # "worse ..." where both are one line
    for claim, line in lines.items():
        axes.annotate(  # beside the panel: within it the evidence would cross it
            "promote" if claim == "within the SLO" else "roll back", (1, line), (3, 0),
            xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8,
            color=_STYLES[claim][0], va="bottom" if claim == upper else "top",
        )  # fmt: skip
    axes.axhline(0, color=BLACK, linewidth=0.6)
    axes.set_ylabel("evidence, powers of ten")
    _finish(axes, "upper left")


def _traffic(axes: Axes, minutes: Sequence[float], blocks: Sequence[Block]) -> None:
    weight = [float(block.weight) for block in blocks]
    begun = [minute - block.seconds / 60 for minute, block in zip(minutes, blocks, strict=True)]
    axes.step([*begun, minutes[-1]], [*weight, weight[-1]], where="post", color=BLACK, label="weight")
    missing = [minute for minute, block in zip(minutes, blocks, strict=True) if block.missing]
    if missing:
        axes.plot(missing, [0.0] * len(missing), "x", color="#D55E00", label="no data", clip_on=False)
    axes.set_ylim(0, max(10.0, 1.15 * max(weight)))
    axes.set_ylabel("weight in %")
    axes.set_xlabel("minutes")
    _finish(axes, "lower right")


def _finish(axes: Axes, place: Literal["best", "upper left", "lower right"]) -> None:
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.legend(fontsize=8, loc=place, framealpha=0.7, edgecolor="none")


def _numbers(values: Sequence[float | None]) -> list[Any]:
    return [float("nan") if value is None else value for value in values]
