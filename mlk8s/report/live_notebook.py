"""A running load test in a notebook's cell, and the static picture that stays when it is over.

While it runs there are widgets; their state is lost by papermill and by most who save a notebook. The last
thing done is to put an ordinary output in their place.
"""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from mlk8s.clients.kernel import WidgetMessages
from mlk8s.report.live import charts_html, numbers, numbers_html
from mlk8s.spec.load import LoadProfile

if TYPE_CHECKING:
    from mlk8s.operations.run import Run
    from mlk8s.operations.ticks import Tick

_LOOKS = 3
_KEPT = 3_600


class NotebookView:
    """Shows numbers, charts and a stop button in the cell that runs.

    Args:
        kernel: the IPython kernel.
        name: of the service.
    """

    looks = _LOOKS

    def __init__(self, kernel: Any, profile: LoadProfile, name: str) -> None:
        import ipywidgets
        from IPython.display import display

        self._title = f"Load test of {name}: {profile.describe()}"
        self._duration = profile.duration
        self._state = "starting"
        self._ticks: list[Tick] = []
        self._stop = Event()
        self._messages = WidgetMessages(kernel)
        # A count of views that is not None is kept by the front end: how we know that there is one.
        self._numbers = ipywidgets.HTML(value=self._words(None, 0.0), _view_count=0)
        self._charts = ipywidgets.HTML(value=charts_html([]))
        self._button = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="End the load test now and keep what was measured"
        )
        self._button.on_click(lambda _: self._stop.set())
        self._box = ipywidgets.VBox([self._numbers, self._charts, self._button])
        self._handle = display(self._box, display_id=True)

    @property
    def seen(self) -> bool:
        return bool(self._numbers._view_count)

    @property
    def stop_asked(self) -> bool:
        self._messages.handle()
        return self._stop.is_set()

    def show(self, tick: Tick, elapsed: float) -> None:
        if tick.phase == "load" and self._state == "starting" and elapsed > 0:
            self._state = "sending"
        self._numbers.value = self._words(tick, elapsed)
        if self._ticks and self._ticks[-1].t == tick.t:
            return
        self._ticks.append(tick)
        del self._ticks[:-_KEPT]
        self._charts.value = charts_html(self._ticks)

    def say_state(self, state: str) -> None:
        self._state = state
        if state.startswith("stopping"):
            self._button.disabled = True
        last = self._ticks[-1] if self._ticks else None
        self._numbers.value = self._words(last, float(last.t) if last else 0.0)

    def end(self, run: Run | None) -> bool:
        """Put the run's numbers and picture where the widgets were."""
        seen = self.seen
        try:
            self._handle.update(self._left(run), raw=True)
        finally:
            self._messages.close()
            for widget in (self._box, self._numbers, self._charts, self._button):
                widget.close()
        return seen and run is not None

    def _left(self, run: Run | None) -> dict[str, Any]:
        if run is None:
            text = f"{self._title}: it did not begin"
            return {"text/plain": text}
        from mlk8s.report.glance import glance

        return glance(run)

    def _words(self, tick: Tick | None, elapsed: float) -> str:
        return numbers_html(
            numbers(tick) if tick else [], title=self._title, state=self._state, elapsed=elapsed,
            duration=self._duration, note=tick.gap if tick else None,
        )  # fmt: skip
