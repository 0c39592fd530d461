"""The loop of a running load test: looks at it, shows it, and ends it in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlk8s.clients.clock import Clock
from mlk8s.operations.disk import Disk
from mlk8s.operations.ticks import Tick, Watcher
from mlk8s.spec.load import LoadProfile

if TYPE_CHECKING:
    from mlk8s.operations.run import Run

INTERRUPTED = "interrupted by Ctrl-C"
STOPPED = "stopped by the user"
GRACE = 60.0
"""Seconds that Locust may need beyond the profile and the time-out before it counts as hanging."""
_SAY_EACH = 10


class Load(Protocol):
    """A load generator that runs: a process of this machine, or pods."""

    @property
    def late(self) -> float:
        """Seconds after which what was recorded in a second is here."""
        ...

    def running(self) -> bool: ...
    def stop(self) -> None: ...
    def death(self) -> str | None: ...


class View(Protocol):
    """Shows a load test while it runs."""

    @property
    def looks(self) -> int:
        """How many times a second it wants to be shown something."""
        ...

    @property
    def seen(self) -> bool:
        """Whether somebody sees it: then no line need be printed beside it."""
        ...

    @property
    def stop_asked(self) -> bool:
        """Whether the user wants the test to end now."""
        ...

    def show(self, tick: Tick, elapsed: float) -> None:
        """Show the last whole second, `elapsed` seconds after the start of the load; must be quick."""
        ...

    def say_state(self, state: str) -> None:
        """Show in a few words what is going on, such as 'stopping'."""
        ...

    def end(self, run: Run | None) -> bool:
        """Show the result that stays, None where there is none; return whether it told everything."""
        ...


class Lines:
    """No view: a plain line every ten seconds is all that there is."""

    looks = 1
    seen = stop_asked = False

    def show(self, tick: Tick, elapsed: float) -> None:
        pass

    def say_state(self, state: str) -> None:
        pass

    def end(self, run: Run | None) -> bool:  # noqa: ARG002
        return False


def drive(
    start: Callable[[], Load], directory: Path, profile: LoadProfile, *, settle: float, clock: Clock,
    view: View, on_tick: Callable[[Tick], None] | None, say: Callable[[str], None], facts: dict[str, Any],
) -> str | None:  # fmt: skip
    """Run Locust, then wait for `settle` seconds; return why it was cut short, or None.

    Args:
        start: starts the load generator.
        directory: where its results appear.
        facts: gets `load_ended`, seconds since the epoch.
    """
    try:
        view.say_state("starting")
        load = start()
    except KeyboardInterrupt:
        return INTERRUPTED
    try:
        return _Loop(load, directory, profile, settle, clock, view, on_tick, say, facts).run()
    except KeyboardInterrupt:
        view.say_state("stopping")
        return INTERRUPTED
    finally:
        load.stop()
        lost = getattr(load, "lost", {})
        if "workers" in facts:
            facts["workers"]["lost"] = {str(number): why for number, why in lost.items()}


class _Loop:
    def __init__(
        self, load: Load, directory: Path, profile: LoadProfile, settle: float, clock: Clock, view: View,
        on_tick: Callable[[Tick], None] | None, say: Callable[[str], None], facts: dict[str, Any],
    ) -> None:  # fmt: skip
        self._load, self._settle, self._clock, self._view = load, settle, clock, view
        self._on_tick, self._say, self._facts = on_tick, say, facts
        self._watcher, self._disk = Watcher(directory), Disk(directory)
        self._deadline = clock.now() + profile.duration + profile.timeout + GRACE
        self._end: float | None = None
        """When it will have settled; None while there is load."""
        self._count = 0

    def run(self) -> str | None:
        while self._end is None or self._clock.now() < self._end:
            self._look()
            if self._view.stop_asked:
                if self._end is not None:
                    self._facts["settle"] = round(self._clock.now() - self._facts["load_ended"], 1)
                    return None  # the whole load was sent; only what follows it is watched no longer
                self._view.say_state("stopping: requests in flight have their time to end")
                self._load.stop()
                self._facts["load_ended"] = self._clock.now()
                return STOPPED
            why = self._second()
            if why:
                return why
        return None

    def _look(self) -> None:
        """Wait for the next second, and show what there is in between."""
        late = self._load.late
        now = self._clock.now()
        # Not at the full second: by then the load generator has not written the last one.
        second = int(now) + 1.0 + late
        for part in range(1, self._view.looks + 1):
            moment = second - 1 + part / self._view.looks
            if moment <= now:
                continue
            self._clock.sleep_until(moment)
            tick = self._tick()
            start = self._watcher.start
            self._view.show(tick, 0.0 if start is None else max(0.0, self._clock.now() - start))
            if self._view.stop_asked:
                return

    def _second(self) -> str | None:
        """Look at load generator and disk, and tell of the last second; return why to end, or None."""
        if self._end is None and not self._load.running():
            self._facts["load_ended"] = self._clock.now()
            self._load.stop()
            if why := self._load.death():
                return why
            self._end = self._clock.now() + self._settle
            if self._settle:
                self._view.say_state("load is over; watching the replicas")
                self._say(f"load is over; watching the replicas for {self._settle:g} s")
        if self._end is None and self._clock.now() > self._deadline:
            return "Locust did not end in time and was stopped"
        if words := self._disk.change():
            self._say(words)
        tick = self._tick()
        if self._on_tick:
            self._on_tick(tick)
        self._count += 1
        if self._count % _SAY_EACH == 0 and not self._view.seen:
            self._say(str(tick))
        return None

    def _tick(self) -> Tick:
        return self._watcher.tick("load" if self._end is None else "settle")
