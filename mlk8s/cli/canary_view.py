"""A running rollout in a terminal: a table that is drawn anew after each block; plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mlk8s.assess.rollout_words import Progress
    from mlk8s.operations.canary_run import CanaryResult, View
    from mlk8s.operations.rollout_state import Wish

Say = Callable[[str], None]


def open_view(say: Say) -> View:
    """Return the view that fits stderr: a live table on a terminal, else one line a block."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalView()
    from mlk8s.operations.canary_run import Lines

    return Lines(say)


class TerminalView:
    """A live table on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # What is said meanwhile is printed above the table, as long as it goes through this stderr.
        self._live = Live(console=Console(stderr=True), auto_refresh=False, redirect_stderr=True)
        self._started = False

    def show(self, progress: Progress) -> None:
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(table(progress), refresh=True)

    def wish(self) -> Wish | None:
        return None

    def end(self, result: CanaryResult | None) -> None:  # noqa: ARG002 - the last table stays
        if self._started:
            self._live.stop()


def table(progress: Progress) -> RenderableType:
    """Return one block as a table: a row a metric, and what is still needed below."""
    from rich.table import Table

    from mlk8s.assess.evidence.words import duration_words
    from mlk8s.assess.rollout_words import evidence_rows, to_go

    decision = progress.decision
    state = f"held: {progress.held}" if progress.held else decision.verdict
    title = (
        f"{progress.service}: {progress.model} · weight {progress.weight} % · "
        f"{duration_words(decision.elapsed)} · {decision.requests:,} requests · {state}"
    )
    seen = f"nothing seen: {progress.blind}" if progress.blind else to_go(decision)
    found = Table(title=title, caption=seen, title_justify="left", caption_justify="left")
    for head in ("bad requests", "counted", "interval", "bound", "evidence of line (powers of ten)"):
        found.add_column(head)
    for row in evidence_rows(decision):
        found.add_row(*row)
    return found
