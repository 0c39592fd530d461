"""A running load test as HTML: its numbers, and small charts as SVG text, made anew each second.

Widgets take texts: nothing is drawn by matplotlib while a test runs, which would take its CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from mlk8s.report.alt import milliseconds
from mlk8s.report.plots import BLUE, GREEN, PURPLE, SKY, VERMILLION
from mlk8s.report.svg import INK, Frame, Line, beside, round_up, short

if TYPE_CHECKING:
    from mlk8s.operations.ticks import Tick

SHOWN = 120
"""Seconds that the charts go back."""


class Number(NamedTuple):
    """One thing that is seen: what, how much, in which unit."""

    name: str
    value: str
    unit: str = ""


def numbers(tick: Tick) -> list[Number]:
    """Return what the last whole second says, in the order in which it is read."""
    over = tick.phase != "load"
    offered = (
        Number("users", f"{tick.users:,}")
        if tick.offered_rps is None and not over and tick.users
        else Number("offered", "–" if tick.offered_rps is None else rate(tick.offered_rps), "requests/s")
    )
    latency = [
        Number(name, *split_unit(milliseconds(value)))
        for name, value in (("p50", tick.p50), ("p95", tick.p95), ("p99", tick.p99))
    ]
    replicas = "–" if tick.ready is None else f"{tick.ready} of {tick.desired}"
    return [
        offered,
        Number("achieved", "–" if over else rate(tick.achieved_rps), "requests/s"),
        *latency,
        Number("errors", f"{tick.errors:,}", "requests"),
        Number("replicas", replicas, "ready"),
    ]


def numbers_html(
    found: Sequence[Number], *, title: str, state: str, elapsed: float, duration: float, note: str | None
) -> str:
    """Return title, time, progress and numbers as HTML.

    Args:
        elapsed, duration: seconds since the start of the load, and of the whole profile.
        note: what could not be sampled.
    """
    share = min(1.0, elapsed / duration) if duration else 0.0
    return (
        '<div style="line-height:1.35;color:var(--jp-content-font-color1,inherit)">'
        f'<div style="font-weight:600">{escape(title)}</div>'
        f'<div style="font-variant-numeric:tabular-nums">{escape(state)} · '
        f"{min(elapsed, duration):.1f} s of {duration:g} s"
        f"{' · ' + escape(note) if note else ''}</div>"
        f'<div role="progressbar" aria-label="share of the load profile that was sent" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}" '
        'style="border:1px solid currentColor;height:7px;margin:6px 0;max-width:1000px">'
        f'<div style="background:currentColor;height:100%;width:{100 * share:.1f}%"></div></div>'
        f"{numbers_cells(found)}</div>"
    )


def numbers_cells(found: Sequence[Number]) -> str:
    """Return numbers side by side as HTML, each below its name and above its unit."""
    cells = "".join(
        f'<div style="min-width:5.2em"><div style="font-size:12px">{escape(item.name)}</div>'
        '<div style="font-size:20px;font-weight:600;white-space:nowrap;font-variant-numeric:tabular-nums">'
        f"{escape(item.value)}</div>"
        f'<div style="font-size:11px">{escape(item.unit) or "&nbsp;"}</div></div>'
        for item in found
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 22px;margin:4px 0">{cells}</div>'


def charts_html(ticks: Sequence[Tick]) -> str:
    """Return rate, latency and replicas of the last two minutes as three charts."""
    recent = [tick for tick in ticks if tick.t > ticks[-1].t - SHOWN] if ticks else []
    charts = (
        _chart("Rate (requests/s)", recent, (
            _Line(Line("offered", "6 4", 1.4, INK), lambda tick: tick.offered_rps),
            _Line(Line("achieved", "", 2.2, BLUE), _achieved),
        )),
        _chart("Latency of right answers (ms)", recent, (
            _Line(Line("p50", "1 3", 2.0, SKY), lambda tick: _thousand(tick.p50)),
            _Line(Line("p95", "7 3 1 3", 1.6, PURPLE), lambda tick: _thousand(tick.p95)),
            _Line(Line("p99", "", 2.0, VERMILLION), lambda tick: _thousand(tick.p99)),
        )),
        _chart("Replicas (pods)", recent, (
            _Line(Line("desired", "6 4", 1.4, INK), lambda tick: tick.desired),
            _Line(Line("ready", "", 2.4, GREEN), lambda tick: tick.ready),
        ), steps=True),
    )  # fmt: skip
    return beside(charts)


class _Line(NamedTuple):
    line: Line
    of: Callable[[Tick], float | None]


def _chart(title: str, ticks: Sequence[Tick], lines: Sequence[_Line], *, steps: bool = False) -> str:
    values = {line.name: [of(tick) for tick in ticks] for line, of in lines}
    top = round_up(
        max((value for found in values.values() for value in found if value is not None), default=1)
    )
    last = ticks[-1].t if ticks else 0
    first = max(0, min(last - SHOWN, ticks[0].t)) if len(ticks) > SHOWN - 2 else (ticks[0].t if ticks else 0)
    span = max(10, last - first)
    frame = Frame(title, [line for line, _ in lines], (first, first + span), (0, top))
    drawn = [
        frame.drawn(line, list(zip((tick.t for tick in ticks), values[line.name], strict=True)), steps=steps)
        for line, _ in lines
    ]
    alt = f"{title} over time: " + ", ".join(
        f"{name} {'unknown' if not found or found[-1] is None else short(found[-1])}"
        for name, found in values.items()
    )
    return frame.chart(
        drawn[::-1],  # dashes in front of what is drawn whole, so that both are seen
        ticks=[(value, short(value)) for value in (0, top / 2, top) if not steps or value == int(value)],
        below=(f"{first} s", "time since the start of the load", f"{first + span} s"),
        alt=alt,
    )


def _achieved(tick: Tick) -> float | None:
    return tick.achieved_rps if tick.phase == "load" else None


def rate(value: float) -> str:
    """Return a rate with three digits, or as a whole number."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _thousand(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def split_unit(text: str) -> tuple[str, str]:
    """Return a latency in words as value and unit."""
    value, _, unit = text.partition(" ")
    return value, unit or "ms"
