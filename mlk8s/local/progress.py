"""What is being done, how far it is, and how long it may still take: shown on a terminal, or as plain lines.

Everything that takes longer than a second takes a `Progress` and opens a step on it:

    with open_progress() as progress:                               # picks terminal or plain by itself
        with progress.step("Build etcd", total=412, unit="packages") as step:
            step.advance(1, detail="go.etcd.io/raft/v3")            # or step.update(done=17)
        with progress.step("Wait for the node") as step:            # no total: only the time runs
            step.update(detail="kubelet registered")
        progress.message("The cluster is ready.")                   # a line that stays
        with progress.paused():                                     # the terminal is yours: ask a question
            ...

A step that is left by an exception is shown as failed; the exception goes on. Steps may be open side by
side and in several threads (builds in the background). Everything goes to stderr: stdout is for data.
Tests and libraries that have nothing to show pass `SILENT`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

BYTES = "bytes"
"""The unit that is shown as MB; every other unit is shown as a count with its name."""


class Step(Protocol):
    """One piece of work that was begun."""

    def advance(self, amount: float = 1, *, detail: str | None = None) -> None:
        """Say that `amount` more units are done."""

    def update(
        self, *, done: float | None = None, total: float | None = None, detail: str | None = None
    ) -> None:
        """Set how much is done, how much there is, or what is in hand; what is left out stays."""


class Progress(Protocol):
    """Where steps and messages are shown; safe to use from several threads."""

    def step(self, title: str, *, total: float | None = None, unit: str = "") -> AbstractContextManager[Step]:
        """Begin a step; leaving the `with` block ends it.

        Args:
            title: what is done, as a short phrase ("Build etcd").
            total: how much there is, in `unit`s, where it is known.
            unit: plural noun ("packages"), or `BYTES`.
        """

    def message(self, text: str) -> None:
        """Show a line that stays."""

    def paused(self) -> AbstractContextManager[None]:
        """Stop drawing for as long as the block lasts, for a question on the terminal."""


class _SilentStep:
    def advance(self, amount: float = 1, *, detail: str | None = None) -> None:
        pass

    def update(
        self, *, done: float | None = None, total: float | None = None, detail: str | None = None
    ) -> None:
        pass


class _SilentProgress:
    def step(
        self,
        title: str,  # noqa: ARG002
        *,
        total: float | None = None,  # noqa: ARG002
        unit: str = "",  # noqa: ARG002
    ) -> AbstractContextManager[Step]:
        return nullcontext(_SilentStep())

    def message(self, text: str) -> None:
        pass

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


SILENT: Progress = _SilentProgress()
"""Shows nothing."""


@contextmanager
def open_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Show progress on `stream` (stderr): bars on a terminal, a plain line every few seconds elsewhere."""
    stream = stream if stream is not None else sys.stderr
    if stream.isatty():
        from mlk8s.local.progress_terminal import TerminalProgress

        with TerminalProgress(stream) as terminal:
            yield terminal
    else:
        from mlk8s.local.progress_plain import PlainProgress

        yield PlainProgress(stream)
