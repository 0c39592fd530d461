"""A running load test as a table that is drawn anew in a terminal; on standard error, as all progress is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlk8s.operations.live import Opener
    from mlk8s.operations.run import Run
    from mlk8s.operations.ticks import Tick
    from mlk8s.spec.load import LoadProfile

_BARS = "▁▂▃▄▅▆▇█"
_WIDE = 60
"""Seconds that the small charts go back."""


def view(wanted: bool) -> Opener | bool:
    """Return what opens the live table, where a terminal can show it and it is wanted; else False."""
    possible = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return TerminalView if wanted and possible else False


class TerminalView:
    """Numbers, a progress bar and the last minute as small charts.

    Args:
        name: of the service.
    """

    looks = 3
    seen = True
    stop_asked = False
    """Ctrl-C is the button."""

    def __init__(self, profile: LoadProfile, name: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = f"Load test of {name}: {profile.describe()}"
        self._duration = profile.duration
        self._state = "starting"
        self._ticks: list[Tick] = []
        console = Console(stderr=True, highlight=False)
        self._bars = not console.options.ascii_only
        self._live = Live(
            self._shown(0.0), console=console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._live.start()

    def show(self, tick: Tick, elapsed: float) -> None:
        if tick.phase == "load" and self._state == "starting" and elapsed > 0:
            self._state = "sending; Ctrl-C stops it"
        if self._ticks and self._ticks[-1].t == tick.t:
            self._ticks[-1] = tick
        else:
            self._ticks.append(tick)
            del self._ticks[:-_WIDE]
        self._live.update(self._shown(elapsed), refresh=True)

    def say_state(self, state: str) -> None:
        self._state = state
        self._live.update(self._shown(float(self._ticks[-1].t) if self._ticks else 0.0), refresh=True)

    def end(self, run: Run | None) -> bool:  # noqa: ARG002
        """Take the table away: the result is said in words."""
        self._live.stop()
        return False

    def _shown(self, elapsed: float) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from mlk8s.report.live import numbers

        tick = self._ticks[-1] if self._ticks else None
        parts: list[Any] = [
            Text(self._title, style="bold"),
            Text(f"{self._state} · {min(elapsed, self._duration):.1f} s of {self._duration:g} s"),
            self._progress(min(1.0, elapsed / self._duration)),
        ]
        if tick is not None:
            table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
            found = numbers(tick)
            for _ in found:
                table.add_column(justify="right")
            table.add_row(*(Text(item.name) for item in found))
            table.add_row(*(Text(item.value, style="bold") for item in found))
            table.add_row(*(Text(item.unit, style="dim") for item in found))
            parts.append(table)
            if self._bars:
                parts += self._charts()
            if tick.gap:
                parts.append(Text(tick.gap))
        return Group(*parts)

    def _progress(self, share: float) -> Any:
        from rich.text import Text

        whole = _WIDE + len("achieved ")
        done = round(share * whole)
        full, empty = ("━", "╌") if self._bars else ("#", ".")
        return Text.assemble((full * done, "bold"), (empty * (whole - done), "dim"))

    def _charts(self) -> list[Any]:
        from rich.text import Text

        rows = (
            ("achieved", "requests/s", [t.achieved_rps if t.phase == "load" else None for t in self._ticks]),
            ("p99", "ms", [None if t.p99 is None else 1000 * t.p99 for t in self._ticks]),
            ("replicas", "ready", [t.ready for t in self._ticks]),
        )
        return [
            Text(f"{name:<9}{bars(values):<{_WIDE}} {_most(values, unit)}") for name, unit, values in rows
        ]


def bars(values: list[float | None] | list[int | None]) -> str:
    """Return a bar a value, from 0 to the highest of them; a blank where nothing is known."""
    top = max((value for value in values if value is not None), default=0) or 1
    return "".join(
        " " if value is None else _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))]
        for value in values
    )


def _most(values: list[float | None] | list[int | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    return f"at most {max(known):,.3g} {unit}" if known else ""
