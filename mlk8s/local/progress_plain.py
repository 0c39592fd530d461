"""Progress as plain lines, for logs, pipes and CI: one when a step begins to take long, one when it ends."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from mlk8s.local.progress import BYTES, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO


def amount_text(done: float, total: float | None, unit: str) -> str:
    """`3.1 of 12.0 MB`, `17 of 412 packages`, or without the total where it is not known."""
    if unit == BYTES:
        done_text, total_text, name = f"{done / 1e6:.1f}", f"{(total or 0) / 1e6:.1f}", "MB"
    else:
        done_text, total_text, name = f"{done:.0f}", f"{total or 0:.0f}", unit
    known = f"{done_text} of {total_text}" if total is not None else done_text
    return f"{known} {name}".strip()


def seconds_left(done: float, total: float | None, elapsed: float) -> float | None:
    """Seconds that remain if the rate so far holds; None while there is nothing to judge by."""
    if total is None or done <= 0 or elapsed < 2:
        return None
    return max(total - done, 0.0) * elapsed / done


def duration_text(seconds: float) -> str:
    """`0.4 s`, `12 s` or `3 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


class _PlainStep:
    def __init__(self, owner: PlainProgress, title: str, total: float | None, unit: str) -> None:
        self._owner = owner
        self._title, self._total, self._unit = title, total, unit
        self._done, self._detail = 0.0, ""
        self._started = self._printed = owner.clock()

    def advance(self, amount: float = 1, *, detail: str | None = None) -> None:
        self.update(done=self._done + amount, detail=detail)

    def update(
        self, *, done: float | None = None, total: float | None = None, detail: str | None = None
    ) -> None:
        self._done = done if done is not None else self._done
        self._total = total if total is not None else self._total
        self._detail = detail if detail is not None else self._detail
        now = self._owner.clock()
        if self._total is not None and self._done >= self._total:
            return  # the line of the end follows
        if now - self._printed >= self._owner.interval:
            self._printed = now
            self._owner.message(f"{self._title}: {self._state(now - self._started)}")

    def _state(self, elapsed: float) -> str:
        parts = []
        if self._total is not None or self._done:
            parts.append(amount_text(self._done, self._total, self._unit))
        left = seconds_left(self._done, self._total, elapsed)
        if left is not None:
            parts.append(f"about {duration_text(left)} left")
        if self._detail:
            parts.append(self._detail)
        return ", ".join(parts) or f"{duration_text(elapsed)} so far"

    def end(self, *, failed: bool) -> None:
        elapsed = duration_text(self._owner.clock() - self._started)
        self._owner.message(f"{self._title}: {'failed after' if failed else 'done in'} {elapsed}")


class PlainProgress:
    """One line every `interval` seconds for a step that takes long, and one when it ends.

    Args:
        stream: where the lines go.
        interval: least seconds between two lines of one step.
        clock: seconds that only grow; tests pass their own.
    """

    def __init__(
        self, stream: TextIO, *, interval: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.interval, self.clock = interval, clock
        self._stream = stream
        self._lock = threading.Lock()

    @contextmanager
    def _step(self, title: str, total: float | None, unit: str) -> Iterator[Step]:
        step = _PlainStep(self, title, total, unit)
        try:
            yield step
        except BaseException:
            step.end(failed=True)
            raise
        step.end(failed=False)

    def step(self, title: str, *, total: float | None = None, unit: str = "") -> AbstractContextManager[Step]:
        return self._step(title, total, unit)

    def message(self, text: str) -> None:
        with self._lock:
            print(text, file=self._stream, flush=True)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()
