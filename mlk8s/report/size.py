"""What one pod holds, drawn: every probe with its latency, the interval, and the promise."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mlk8s.assess.capacity.measured import Capacity
from mlk8s.assess.capacity.probe import Probe
from mlk8s.assess.capacity.words import promise_words
from mlk8s.report.picture import Picture
from mlk8s.report.plots import BLACK, BLUE, GREEN, SKY, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Filled or open, round or crossed: told apart without colour.
_MARKS: dict[tuple[bool, bool], tuple[str, dict[str, Any]]] = {
    (True, False): ("probe that held", {"marker": "o", "color": BLUE}),
    (False, False): ("probe that broke", {"marker": "x", "color": VERMILLION, "linewidths": 1.8}),
    (True, True): ("check that held", {"marker": "s", "facecolors": "none", "edgecolors": BLUE, "s": 70}),
    (False, True): (
        "check that broke",
        {"marker": "D", "facecolors": "none", "edgecolors": VERMILLION, "s": 60},
    ),
}


def draw_size(capacity: Capacity, name: str) -> Picture:
    """Draw the probes of a size: the promised percentile (or the errors) over the rate that was offered."""
    from matplotlib.figure import Figure

    bounded = next(reversed(capacity.slo.latency), None)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panel = figure.subplots()
    _interval(panel, capacity)
    _probes(panel, capacity, bounded)
    if bounded is not None:
        bound = capacity.slo.latency[bounded]
        panel.axhline(
            1000 * bound, color=BLACK, linestyle=(0, (1, 2)), label=f"SLO {bounded} {1000 * bound:g} ms"
        )
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
        panel.set_ylabel(f"{bounded} in milliseconds (log scale)")
    else:
        errors = 100 * (capacity.slo.errors or 0.0)
        panel.axhline(errors, color=BLACK, linestyle=(0, (1, 2)), label=f"SLO errors {errors:g} %")
        panel.set_ylabel("requests without a right answer, percent")
        panel.set_ylim(bottom=0)
    panel.set_xlabel("requests/s offered to one pod")
    panel.set_xlim(left=0)
    panel.grid(True, color="#dddddd", linewidth=0.6)
    # beside the panel: the probes may be anywhere in it
    panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    figure.suptitle(f"What one pod of {name} holds", fontsize=12, fontweight="bold")
    return Picture(figure, _alt(capacity, name, bounded))


def _interval(panel: Axes, capacity: Capacity) -> None:
    found = capacity.estimate
    if found is None:
        return
    label = f"{100 * found.confidence:g} % interval {found.low:.3g} to {found.high:.3g}/s"
    panel.axvspan(found.low, found.high, color=SKY, alpha=0.35, linewidth=0, label=label)
    panel.axvline(found.rate, color=GREEN, linewidth=1.5, label=f"answer {found.rate:.3g}/s")


def _probes(panel: Axes, capacity: Capacity, bounded: str | None) -> None:
    every = [(probe, False) for probe in capacity.probes] + [(probe, True) for probe in capacity.checks]
    for (held, check), (label, style) in _MARKS.items():
        shown = [
            (probe.rate, value)
            for probe, checks in every
            if (probe.held, checks) == (held, check) and (value := _value(probe, bounded)) is not None
        ]
        if shown:
            panel.scatter([x for x, _ in shown], [y for _, y in shown], label=label, zorder=3, **style)


def _value(probe: Probe, bounded: str | None) -> float | None:
    if bounded is None:
        return None if probe.errors is None else 100 * probe.errors
    latency = probe.percentiles.get(bounded)
    return None if latency is None else 1000 * latency


def _alt(capacity: Capacity, name: str, bounded: str | None) -> str:
    probes, found = capacity.probes, capacity.estimate
    held = [probe.rate for probe in probes if probe.held]
    broke = [probe.rate for probe in probes if not probe.held]
    parts = [
        f"{bounded or 'Errors'} of one pod of {name} by the requests/s that it was offered, "
        f"{len(probes)} probes; the promise is {promise_words(capacity.slo)}."
    ]
    if held:
        parts.append(f"{len(held)} held, the highest at {max(held):.3g}/s.")
    if broke:
        parts.append(f"{len(broke)} broke, the lowest at {min(broke):.3g}/s.")
    if found is not None:
        parts.append(f"The answer is {found.rate:.3g}/s, between {found.low:.3g} and {found.high:.3g}.")
    else:
        parts.append("Not even the lowest rate held.")
    for probe in capacity.checks:
        parts.append(f"A check of {probe.rate:.3g}/s {'held' if probe.held else 'broke'}.")
    return " ".join(parts)


def probe_rows(capacity: Capacity) -> list[dict[str, str]]:
    """Return a row a probe: rate, verdict, latency, errors, and what the pod said of itself."""
    rows = []
    every = [("search", probe) for probe in capacity.probes] + [("check", probe) for probe in capacity.checks]
    for kind, probe in every:
        row = {
            "probe": kind,
            "requests/s": f"{probe.rate:.4g}",
            "promise": "held" if probe.held else "broken",
            "certainty": f"{100 * probe.share:.0f} %",
        }
        for name, value in probe.percentiles.items():
            row[name] = "–" if value is None else f"{1000 * value:.3g} ms"
        row["errors"] = "–" if probe.errors is None else f"{100 * probe.errors:.2g} %"
        row["in flight"] = "–" if probe.in_flight is None else f"{probe.in_flight:.3g}"
        row["CPUs"] = "–" if probe.cpu is None else f"{probe.cpu:.3g}"
        rows.append(row)
    return rows


def notebook_view(capacity: Capacity, sentences: Sequence[str], picture: Picture) -> str:
    """Return static HTML for a notebook: it survives saving and papermill."""
    first, *rest = sentences
    rows = probe_rows(capacity)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (rows[0] if rows else ()))
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    image = picture.img(vector=False).replace("<img ", '<img style="max-width:100%" ')
    return (
        f"<div><h4>{escape(first)}</h4>{''.join(f'<p>{escape(line)}</p>' for line in rest)}"
        f"<figure>{image}</figure>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
