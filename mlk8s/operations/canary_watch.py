"""Watching a rollout that any process works on: what the cluster holds of it, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlk8s.assess.evidence import Record
from mlk8s.assess.rollout_words import Progress, status_lines
from mlk8s.clients.clock import Clock
from mlk8s.errors import UsageError
from mlk8s.operations import canary, rollout_state
from mlk8s.operations.canary_known import Judged
from mlk8s.operations.canary_left import left
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.lease import DURATION, operator_name, working
from mlk8s.operations.rollout_state import Rollout, Wish
from mlk8s.operations.service import Service
from mlk8s.spec.analysis import Analysis

if TYPE_CHECKING:
    from mlk8s.operations.rollout_view import View
    from mlk8s.report.picture import Picture

Say = Callable[[str], None]
_TICK = 0.2


@dataclass(frozen=True, repr=False)
class Watched:
    """A rollout as it was when the watching ended; a notebook shows it as a picture.

    Attributes:
        service: its service.
        rollout: what was written down.
        record: its blocks and decisions; None where it ended before the first block.
        shown: a view has left the picture in the cell already.
    """

    service: str
    rollout: Rollout
    record: Record | None
    shown: bool = False

    @cached_property
    def _picture(self) -> Picture | None:
        from mlk8s.report.evidence import draw_entries

        if self.record is None or not self.record.entries:
            return None
        return draw_entries(self.record.entries, title=self._heading)

    @property
    def _heading(self) -> str:
        return f"{self.service}: {self.rollout.model} {self.rollout.outcome or 'goes on'}"

    def picture(self) -> Picture:
        """Return weight, requests, intervals and evidence over time as a static picture.

        Raises:
            UsageError: there is no block to draw.
        """
        if self._picture is None:
            raise UsageError(f"the rollout of {self.service} has no block to draw")
        return self._picture

    def __str__(self) -> str:
        from dataclasses import asdict

        return "\n".join([self._heading, *status_lines(asdict(self.rollout), self.rollout.by)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self.shown or self._picture is None:
            return {"text/plain": str(self)}
        return self._picture._repr_mimebundle_(**options)


def watch(
    service: Service,
    view: View,
    *,
    seconds: float | None = None,
    alive: Callable[[], None] | None = None,
    say: Say = print,
) -> Watched:
    """Show a rollout block by block until it ends, and hand on what the view is asked for.

    Args:
        view: what shows it; the wishes of its buttons are written down for the process that works on it, or
            done here where none does.
        seconds: ends the watching, not the rollout; None watches to its end.
        alive: called at each look; what it raises ends the watching.

    Raises:
        UsageError: the service had no analysed rollout.
    """
    found = None
    try:
        found = _Watching(service, view, seconds, alive, say).run()
    finally:
        view.end(found)
    return found


class _Watching:
    def __init__(
        self, service: Service, view: View, seconds: float | None, alive: Callable[[], None] | None, say: Say
    ) -> None:
        self._service, self._name = service, service.name
        self._place = service.cluster, service.name, service.namespace
        self._lease = service.cluster, lease_name(service.name), service.namespace
        self._view, self._alive, self._say, self._clock = view, alive, say, Clock()
        self._end = None if seconds is None else self._clock.now() + seconds
        self._evidence, self._shown = Judged(), 0
        self._news = self._clock.now()
        """When the last block was seen, or it was looked who works on it."""
        self._last: Rollout | None = None
        self._alone = False

    def run(self) -> Watched:
        while True:
            found = rollout_state.read_all(*self._place)
            if found is None:
                rollout_state.require(None, *self._place[1:])
                raise AssertionError("there is none, and it was refused")
            rollout, packed = found
            record = self._evidence.read(rollout, packed)
            self._tell(rollout)
            self._show(rollout, record)
            if rollout.ended or self._over:
                return Watched(self._name, rollout, record)
            block = Analysis(**rollout.analysis).block
            if self._alive is not None:
                self._alive()
            elif self._clock.now() > self._news + 2 * block + DURATION:
                self._look()
            self._wait(self._clock.now() + block / 2)

    @property
    def _over(self) -> bool:
        return self._end is not None and self._clock.now() >= self._end

    def _show(self, rollout: Rollout, record: Record | None) -> None:
        entries = record.entries if record is not None else ()
        if len(entries) < self._shown:
            self._shown = 0  # the evidence began anew
        for block, decision in entries[self._shown :]:
            self._view.show(
                Progress(self._name, rollout.model, rollout.weight, block, decision, rollout.held)
            )
            self._news, self._alone = self._clock.now(), False
        self._shown = len(entries)

    def _tell(self, rollout: Rollout) -> None:
        """Say what became of it since the last look."""
        last, self._last = self._last, rollout
        for line in changes(last, rollout):
            self._say(f"{self._name}: {line}")

    def _look(self) -> None:
        """Say once that nobody works on it, where that is so: no block comes."""
        self._news = self._clock.now()
        before, by = self._alone, working(*self._lease)
        self._alone = by is None
        if self._alone and not before:
            self._say(left(*self._place))

    def _wait(self, until: float) -> None:
        while self._clock.now() < until and not self._over:
            wish = self._view.wish()
            if wish is not None:
                self._ask(wish)
                return
            time.sleep(_TICK)

    def _ask(self, wish: Wish) -> None:
        """Hand a wish to the process that works on it; do it here where there is none."""
        if working(*self._lease) is not None:
            rollout_state.ask(*self._place, wish, operator_name())
            self._say(f"{self._name}: asked: {wish}; it is seen with the next block")
        elif self._last is None or self._last.kind != "canary" or wish in ("hold", "resume"):
            self._say(left(*self._place))
        elif wish == "promote":
            canary.promote(self._service, say=self._say)
        else:
            canary.rollback(self._service, say=self._say)


def changes(last: Rollout | None, now: Rollout) -> list[str]:
    """Return what became of a rollout since the last look, a line each; pure."""
    found = []
    if last is None or last.stage != now.stage:
        found.append(f"{now.stage.replace('-', ' ')}" + (f": {now.why[0]}" if now.why else ""))
    if now.held != (last.held if last is not None else None) and not now.ended:
        found.append(f"held: {now.held}" if now.held is not None else "is not held any more")
    for name, words, again in (
        ("blind_since", "nothing is seen of it: the weight stays", "it is seen again"),
        (
            "unready_since",
            "none of the canary's pods is ready: it gets no requests",
            "its pods are ready again",
        ),
    ):
        before = getattr(last, name) is not None if last is not None else False
        after = getattr(now, name) is not None
        if before != after and not (now.ended and before):
            found.append(words if after else again)
    if last is not None and last.weight != now.weight:
        found.append(f"weight {now.weight}")
    return found
