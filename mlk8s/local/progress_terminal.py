"""Progress as live bars on a terminal; a finished step leaves one line behind."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from mlk8s.local.progress import Step
from mlk8s.local.progress_plain import amount_text, duration_text, seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self, TextIO

    from rich.progress import TaskID


class _StateColumn(TextColumn):
    """Amount done, time left at the rate so far, and what is in hand."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        parts = []
        if task.total is not None or task.completed:
            parts.append(amount_text(task.completed, task.total, task.fields["unit"]))
        left = seconds_left(task.completed, task.total, task.elapsed or 0.0)
        if left is not None:
            parts.append(f"about {duration_text(left)} left")
        if task.fields["detail"]:
            parts.append(task.fields["detail"])
        return Text(", ".join(parts), style="dim", overflow="ellipsis", no_wrap=True)


class _TerminalStep:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: float = 1, *, detail: str | None = None) -> None:
        self._bars.advance(self._task, amount)
        self.update(detail=detail)

    def update(
        self, *, done: float | None = None, total: float | None = None, detail: str | None = None
    ) -> None:
        self._bars.update(self._task, completed=done, total=total)
        if detail is not None:
            self._bars.update(self._task, detail=detail)


class TerminalProgress:
    """Bars drawn by rich; a context manager, because the drawing thread has to end."""

    def __init__(self, stream: TextIO) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            _StateColumn(),
            console=Console(file=stream),
            transient=True,
            refresh_per_second=5,  # on two cores that also build, drawing more often would be felt
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @contextmanager
    def _step(self, title: str, total: float | None, unit: str) -> Iterator[Step]:
        started = time.monotonic()
        task = self._bars.add_task(escape(title), total=total, unit=unit, detail="")
        mark, word = "[green]✓[/]", "in"
        try:
            yield _TerminalStep(self._bars, task)
        except BaseException:
            mark, word = "[red]✗[/]", "failed after"
            raise
        finally:
            self._bars.remove_task(task)
            taken = duration_text(time.monotonic() - started)
            self._bars.console.print(f"{mark} {escape(title)} [dim]{word} {taken}[/]", highlight=False)

    def step(self, title: str, *, total: float | None = None, unit: str = "") -> AbstractContextManager[Step]:
        return self._step(title, total, unit)

    def message(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()
