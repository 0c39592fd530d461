"""A running rollout as HTML: its numbers, and small charts as SVG text, made anew after each block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mlk8s.assess.evidence.decision import Claim, Evidence, MetricEvidence
from mlk8s.assess.evidence.words import count_words, duration_words, metric_words, share_words
from mlk8s.assess.rollout_words import Progress
from mlk8s.report.evidence import FLOOR, Entries, minutes_of, share_limit
from mlk8s.report.live import Number, numbers_cells
from mlk8s.report.plots import BLUE, PURPLE, SKY, VERMILLION
from mlk8s.report.svg import INK, Frame, Line, Point, beside, painted, round_up, short, text

_WIDTH, _HEIGHT = 372, 168
_MOST = 150
"""Blocks that a chart draws: more are not seen on its width."""
_HIGHEST = 8.0
"""log10 above which evidence is not drawn: it has long reached its line."""
_CLAIMS: dict[Claim, Line] = {
    "within the SLO": Line("within the SLO", "", 2.2, BLUE),
    "worse than the SLO": Line("worse than the SLO", "7 3", 1.8, VERMILLION),
    "worse than stable": Line("worse than stable", "7 3 1 3", 1.6, PURPLE),
}
_CANARY, _STABLE = Line("canary", "", 2.2, BLUE), Line("stable", "1 3", 1.8, INK)
_BAND = Line("its interval", "", 8, SKY, ".35")
_BESIDE = "time since the first weight"


def numbers(progress: Progress) -> list[Number]:
    """Return what the last block says, in the order in which it is read."""
    decision = progress.decision
    left = "–" if decision.to_go is None else count_words(decision.to_go)
    found = [
        Number("weight", f"{progress.weight}", "% of the requests"),
        Number("requests", f"{decision.requests:,}", "of the canary"),
        Number(
            "last block", "–" if progress.block.missing else f"{progress.block.canary.requests:,}", "requests"
        ),
        Number("to go, about", left, "requests"),
        Number("beyond the SLO", f"{decision.harmed:.1f}", f"of {decision.max_harmed_requests} accepted"),
        Number("time", duration_words(decision.elapsed), "since the first weight"),
    ]
    for item in decision.metrics:
        interval = f"{share_words(item.low)} to {share_words(item.high)}"
        found.append(Number(metric_words(item), interval, f"at most {share_words(item.bound)}"))
    return found


def head_html(title: str, state: str, found: Sequence[Number]) -> str:
    """Return title, state and numbers as HTML."""
    return (
        '<div style="line-height:1.35;color:var(--jp-content-font-color1,inherit)">'
        f'<div style="font-weight:600">{escape(title)}</div>'
        f'<div role="status" style="max-width:1100px">{escape(state)}</div>{numbers_cells(found)}</div>'
    )


def said_html(lines: Sequence[str]) -> str:
    """Return the last lines that were said, the newest one first."""
    shown = "".join(f"<div>{escape(line)}</div>" for line in reversed(lines))
    return (
        '<div style="font-size:12px;line-height:1.4;max-width:1100px;'
        f'color:var(--jp-content-font-color1,inherit)">{shown}</div>'
    )


def charts_html(entries: Entries) -> str:
    """Return weight, and interval and evidence of each metric over time, as charts."""
    if not entries:
        return ""
    stride = -(-len(entries) // _MOST)
    shown = [*entries[:-1:stride], entries[-1]]
    minutes = [minutes_of(*entry) for entry in shown]
    across = (min(0.0, minutes[0]), max(0.5, minutes[-1]))
    charts = [_traffic(shown, minutes, across)]
    for index in range(len(shown[-1][1].metrics)):
        found = [decision.metrics[index] for _, decision in shown]
        # One part: they stay side by side where a row has room for two charts.
        charts.append(beside([_interval(found, minutes, across), _evidence(found, minutes, across)]))
    return beside(charts)


def _traffic(entries: Entries, minutes: Sequence[float], across: tuple[float, float]) -> str:
    weight = Line("weight", "", 2.2, BLUE)
    seen = Line("share of the requests counted", "1 3", 1.8, INK)
    shares: list[float | None] = []
    for block, _ in entries:
        every = block.canary.requests + block.stable.requests
        shares.append(100 * block.canary.requests / every if every else None)
    top = round_up(max(10.0, *(block.weight for block, _ in entries), *(share or 0.0 for share in shares)))
    frame = Frame("Requests led to the canary (%)", (weight, seen), across, (0.0, top), _WIDTH, _HEIGHT)
    begun: list[Point] = [
        (at - block.seconds / 60, block.weight) for at, (block, _) in zip(minutes, entries, strict=True)
    ]
    parts = [
        frame.drawn(weight, [*begun, (minutes[-1], begun[-1][1])], steps=True),
        frame.drawn(seen, list(zip(minutes, shares, strict=True))),
    ]
    missing = [at for at, (block, _) in zip(minutes, entries, strict=True) if block.missing]
    parts += [text(frame.x(at), frame.y(0) - 2, "×", "middle", colour=VERMILLION) for at in missing]
    alt = f"Weight over time, now {entries[-1][0].weight} %"
    alt += f"; {len(missing)} blocks drawn without data, marked ×" if missing else ""
    return frame.chart(parts, ticks=_ticks(0, top), below=_below(across), alt=alt)


def _interval(found: Sequence[MetricEvidence], minutes: Sequence[float], across: tuple[float, float]) -> str:
    last = found[-1]
    bound = Line(f"SLO {share_words(last.bound)}", "5 3", 1.2, INK)
    top = round_up(100 * share_limit(last.bound, (one.estimate for one in found)))
    name = metric_words(last)
    frame = Frame(
        f"{name[0].upper()}{name[1:]} (%)",
        (_CANARY, _BAND, _STABLE, bound),
        across,
        (0.0, top),
        _WIDTH,
        _HEIGHT,
    )
    high = frame.path([(at, 100 * one.high) for at, one in zip(minutes, found, strict=True)])
    low = frame.path([(at, 100 * one.low) for at, one in zip(minutes[::-1], found[::-1], strict=True)])
    parts = [
        f'<path d="{high}L{low[1:]}Z" fill="{SKY}" fill-opacity="{_BAND.opacity}" {painted("stroke", SKY)} '
        'stroke-width=".8"/>',
        frame.level(bound, 100 * last.bound),
        frame.drawn(_STABLE, _percent(minutes, (one.stable_estimate for one in found))),
        frame.drawn(_CANARY, _percent(minutes, (one.estimate for one in found))),
    ]
    alt = (
        f"{name}: between {share_words(last.low)} and {share_words(last.high)}, SLO {share_words(last.bound)}"
    )
    return frame.chart(parts, ticks=_ticks(0, top), below=_below(across), alt=alt)


def _evidence(found: Sequence[MetricEvidence], minutes: Sequence[float], across: tuple[float, float]) -> str:
    last = found[-1]
    claims = [(look, last.claim(claim), claim) for claim, look in _CLAIMS.items()]
    tested = [(look, now, claim) for look, now, claim in claims if now is not None]
    values = {
        claim: [one.log10 for item in found if (one := item.claim(claim)) is not None]
        for _, _, claim in tested
    }
    most = max([now.line for _, now, _ in tested] + [max(series) for series in values.values()])
    top = min(_HIGHEST, float(int(most + 1.5)))
    frame = Frame(
        f"Evidence, powers of ten: {metric_words(last)}",
        [look for look, _, _ in tested],
        across,
        (FLOOR, top),
        _WIDTH,
        _HEIGHT,
    )
    parts, labels = [], []
    for look, now, claim in tested:
        if claim != "worse than stable":  # its line is that of "worse than the SLO"
            parts.append(frame.level(look._replace(width=1.0), now.line))
            labels.append(_line_label(frame, now, look.colour))
        parts.append(frame.drawn(look, list(zip(minutes, values[claim], strict=True))))
    ticks = [(float(value), f"{value}") for value in range(-2, int(top) + 1, 2)]
    words = ", ".join(f"{now.claim} {now.log10:.1f} of {now.line:.1f}" for _, now, _ in tested)
    alt = f"Evidence for {metric_words(last)}, powers of ten of its decision line: {words}"
    return frame.chart([*parts, *labels], ticks=ticks, below=_below(across), alt=alt)


def _line_label(frame: Frame, now: Evidence, colour: str) -> str:
    """Return the name of a decision line, where evidence begins: one above, one below, lest they meet."""
    y, x = frame.y(now.line), frame.x(frame.across[0]) + 4
    if now.claim == "within the SLO":
        return text(x, y + 10, f"promote from {now.line:.1f} on", "start", colour=colour)
    return text(x, y - 3, f"roll back from {now.line:.1f} on", "start", colour=colour)


def _percent(minutes: Sequence[float], shares: Iterable[float | None]) -> list[tuple[float, float | None]]:
    return [(at, None if share is None else 100 * share) for at, share in zip(minutes, shares, strict=True)]


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    return [(value, short(value)) for value in (low, (low + high) / 2, high)]


def _below(across: tuple[float, float]) -> tuple[str, str, str]:
    first, last = (duration_words(60 * minute) for minute in across)
    return first, _BESIDE, last
