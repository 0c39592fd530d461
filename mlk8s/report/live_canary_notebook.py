"""A running rollout in a notebook's cell with its buttons, and the static picture that stays afterwards."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlk8s.assess.evidence import Block, Decision
from mlk8s.assess.rollout_words import Progress
from mlk8s.clients.kernel import WidgetMessages
from mlk8s.report.canary_end import end_html
from mlk8s.report.evidence import Entries
from mlk8s.report.live_canary import charts_html, head_html, numbers, said_html

if TYPE_CHECKING:
    from mlk8s.operations.canary_watch import Watched
    from mlk8s.operations.rollout_state import Wish
    from mlk8s.operations.rollout_view import CanaryResult

_SHOWN = 5
"""Lines that are shown of what was said."""
_PATIENCE = 30.0
"""Seconds after which what was asked, and had no effect that is seen, may be asked again."""
_GRACE = 10.0
"""Seconds that a front end has to tell that it is there, before lines are printed."""
_QUESTIONS = {
    "promote": ("Give all requests to the new version now?", "Yes, promote"),
    "rollback": ("Take all requests from the new version, and remove it?", "Yes, roll back"),
}


class CanaryView:
    """Shows numbers, charts, what was said, and buttons to promote, hold and roll back.

    What needs a second click asks in a row of its own, so that a double click confirms nothing.

    Args:
        kernel: the IPython kernel.
        name: of the service.
        say: gets each line where nobody sees the view.
        left: says what the cluster has when it was interrupted.
        known: returns the blocks that were before the first one that is shown.
    """

    def __init__(self, kernel: Any, name: str, say: Callable[[str], None], left: Callable[[], str],
        known: Callable[[], Entries],
    ) -> None:  # fmt: skip
        self._name, self._print, self._left, self._known = name, say, left, known
        self._entries: list[tuple[Block, Decision]] = []
        self._lines: list[str] = []
        self._unseen: list[str] = []
        self._progress: Progress | None = None
        self._begun = self._over = self._stale = False
        self._asking: Wish | None = None
        self._asked: Wish | None = None
        self._opened = self._since = time.monotonic()
        self._clicks: deque[str] = deque()
        """In a subshell's thread a click is only noted; the cell's own thread does what it means."""
        self._messages = WidgetMessages(kernel)
        self._open()

    # --- what a rollout says -------------------------------------------------------------------------

    def say(self, line: str) -> None:
        """Show a line; print it where nobody sees it."""
        self._lines.append(f"{time.strftime('%H:%M:%S')} {line.removeprefix(f'{self._name}: ')}")
        self._said.value = said_html(self._lines[-_SHOWN:])
        self._tell(line)

    def show(self, progress: Progress) -> None:
        decision = progress.decision
        if self._entries and decision.blocks <= self._entries[-1][1].blocks:
            self._entries.clear()  # the evidence began anew
        elif not self._entries and decision.blocks > 1:  # another process began it
            self._entries += self._known()[: decision.blocks - 1]
        self._entries.append((progress.block, decision))
        self._progress = progress
        ends = {"promote"} if progress.held is None else set()
        self._over = decision.final and decision.action in {"rollback", *ends}
        if (self._asked, progress.held is None) in (("hold", False), ("resume", True)):
            self._asked = None
        self._stale = True
        self._tell(str(progress))

    def wish(self) -> Wish | None:
        self._tell()
        if not self._begun:
            self._begun = self._stale = True
        if self._asked is not None and time.monotonic() > self._since + _PATIENCE:
            self._asked, self._stale = None, True
        found = None
        while self._clicks and found is None:
            found = self._clicked(self._clicks.popleft())
        if self._stale:
            self._draw()
        return found

    def end(self, result: CanaryResult | Watched | None) -> None:
        """Put a picture and words where the widgets were."""
        try:
            self._tell(flush=True)
            why = "" if result is not None else self._broken()
            bundle = end_html(self._name, result, why, self._entries, self._lines)
            self._handle.update(bundle, raw=True)
        finally:
            self._messages.close()
            for widget in self._widgets:
                widget.close()

    # --- what people click ---------------------------------------------------------------------------

    def _clicked(self, key: str) -> Wish | None:
        """Return what is asked for by a click."""
        self._stale = True
        wish: Wish | None = None
        if key in ("promote", "rollback"):
            self._asking = "promote" if key == "promote" else "rollback"
        elif key == "yes":
            wish, self._asking = self._asking, None
        elif key == "no":
            self._asking = None
        elif key == "hold":
            wish = "resume" if self._progress is not None and self._progress.held else "hold"
        if wish is not None:
            self._asked, self._since = wish, time.monotonic()
        return wish

    # --- widgets -------------------------------------------------------------------------------------

    def _open(self) -> None:
        import ipywidgets
        from IPython.display import display

        # A count of views that is not None is kept by the front end: how we know that there is one.
        self._head = ipywidgets.HTML(_view_count=0)
        self._charts, self._said, self._question = (ipywidgets.HTML() for _ in range(3))
        self._buttons = {
            "promote": ipywidgets.Button(description="Promote", icon="check"),
            "hold": ipywidgets.Button(description="Hold", icon="pause"),
            "rollback": ipywidgets.Button(description="Roll back", icon="undo"),
            "yes": ipywidgets.Button(description="Yes", button_style="danger"),
            "no": ipywidgets.Button(description="No"),
        }
        for key, button in self._buttons.items():
            button.on_click(lambda _, key=key: self._clicks.append(key))
        promote, hold, rollback, yes, no = self._buttons.values()
        row = ipywidgets.HBox([promote, hold, rollback])
        self._confirm = ipywidgets.HBox([self._question, yes, no])
        parts = [self._head, self._charts, row, self._confirm, self._said]
        self._box = ipywidgets.VBox(parts)
        self._widgets = [self._box, row, *parts, self._question, *self._buttons.values()]
        self._draw()
        self._handle = display(self._box, display_id=True)

    def _draw(self) -> None:
        self._stale = False
        progress = self._progress
        title = f"Canary of {self._name}" + (f": {progress.model}" if progress else "")
        self._head.value = head_html(title, self._state(), numbers(progress) if progress else [])
        self._charts.value = charts_html(self._entries)
        held = progress is not None and progress.held is not None
        hold = self._buttons["hold"]
        hold.description, hold.icon = ("Go on", "play") if held else ("Hold", "pause")
        closed = not self._begun or self._over or self._asking is not None or self._asked is not None
        for key in ("promote", "hold", "rollback"):
            self._buttons[key].disabled = closed
        self._confirm.layout.display = "none" if self._asking is None else "flex"
        if self._asking is not None:
            self._question.value, self._buttons["yes"].description = _QUESTIONS[self._asking]

    def _state(self) -> str:
        if self._asked is not None:
            words = {"resume": "go on", "rollback": "roll back"}.get(self._asked, self._asked)
            return f"asked: {words}"
        if self._progress is not None:
            return " · ".join(self._progress.states())
        return (
            "the first block is being counted" if self._begun else "starting: the canary gets no requests yet"
        )

    # --- where nobody sees it ------------------------------------------------------------------------

    def _tell(self, line: str | None = None, *, flush: bool = False) -> None:
        """Print what was to be seen, where no front end shows it."""
        if line is not None:
            self._unseen.append(line)
        self._messages.handle()
        if self._head._view_count:
            self._unseen.clear()
        elif flush or time.monotonic() > self._opened + _GRACE:
            for text in self._unseen:
                self._print(text)
            self._unseen.clear()

    def _broken(self) -> str:
        """Return why there is no result."""
        error = sys.exception()
        if isinstance(error, KeyboardInterrupt):
            return f"interrupted: {self._left()}"
        return str(error) if error is not None else ""
