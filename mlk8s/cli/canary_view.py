"""A running rollout in a terminal: what is drawn anew after each block; plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlk8s.cli.live import bars

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mlk8s.assess.evidence import Block
    from mlk8s.assess.rollout_words import Progress
    from mlk8s.operations.canary_watch import Watched
    from mlk8s.operations.rollout_state import Wish
    from mlk8s.operations.rollout_view import CanaryResult, View

Say = Callable[[str], None]
_WIDE = 50
"""Blocks that the small charts go back."""
_GAUGE = 12


def open_view(say: Say) -> View:
    """Return the view that fits stderr: a live table on a terminal, else one line a block."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalView()
    from mlk8s.operations.rollout_view import Lines

    return Lines(say)


class TerminalView:
    """A live table on stderr; the last one stays."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # What is said meanwhile is printed above the table, as long as it goes through this stderr.
        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, auto_refresh=False, redirect_stderr=True)
        self._started = False
        self._blocks: list[Block] = []

    def show(self, progress: Progress) -> None:
        if not self._started:
            self._live.start()
            self._started = True
        if progress.decision.blocks <= len(self._blocks):
            self._blocks.clear()  # the evidence began anew
        self._blocks.append(progress.block)
        del self._blocks[:-_WIDE]
        ascii_only = self._live.console.options.ascii_only
        self._live.update(table(progress, self._blocks, ascii_only=ascii_only), refresh=True)

    def wish(self) -> Wish | None:
        return None

    def end(self, result: CanaryResult | Watched | None) -> None:  # noqa: ARG002 - the last table stays
        if self._started:
            self._live.stop()


def table(progress: Progress, blocks: Sequence[Block], *, ascii_only: bool = False) -> RenderableType:
    """Return a rollout after a block: what goes on, each metric with its claims, weight and requests."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mlk8s.assess.evidence.words import duration_words, metric_words, share_words

    decision = progress.decision
    facts = (
        f"weight {progress.weight} % · {duration_words(decision.elapsed)} · {decision.requests:,} requests"
    )
    harmed = f"{decision.harmed:.1f} of {decision.max_harmed_requests} accepted beyond the SLO"
    found = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for head in ("", "counted", "interval", "at most"):
        found.add_column(head, justify="left" if not head else "right")
    for item in decision.metrics:
        interval = f"{share_words(item.low)} to {share_words(item.high)}"
        counted = f"{item.bad:,} of {item.requests:,}"
        found.add_row(Text(metric_words(item), style="bold"), counted, interval, share_words(item.bound))
        for one in item.evidence:
            end = "promotes" if one.claim == "within the SLO" else "rolls back"
            bar = gauge(one.log10 / one.line, ascii_only=ascii_only)
            far = Text(f"{one.log10:.1f} of {one.line:.1f}", style="bold" if one.reached else "")
            found.add_row(f"  {one.claim}", bar, far, end)
    parts: list[RenderableType] = [
        Text(f"{progress.service}: {progress.model}", style="bold"),
        Text(f"{facts} · {harmed}"),
        *(
            Text(words, style="bold" if progress.held or progress.blind else "")
            for words in progress.states()
        ),
        found,
    ]
    if not ascii_only:
        requests = [None if block.missing else block.canary.requests for block in blocks]
        most = max((count for count in requests if count is not None), default=0)
        weights: list[int | None] = [block.weight for block in blocks]
        parts.append(Text(f"weight    {bars(weights)}  now {blocks[-1].weight} %"))
        parts.append(Text(f"requests  {bars(requests)}  at most {most:,} in a block"))
    return Group(*parts)


def gauge(share: float, *, ascii_only: bool = False) -> str:
    """Return evidence as a share of its line: a bar that is full when the line is reached."""
    done = round(_GAUGE * min(1.0, max(0.0, share)))
    full, empty = ("#", ".") if ascii_only else ("━", "╌")
    return full * done + empty * (_GAUGE - done)
