"""When a load test stops itself: a service that fails most requests is not helped by more of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from mlk8s.loadgen.recorder import Key

WINDOW = 10
"""Seconds that are looked at together."""
_FEWEST = 50
"""Requests in them without which nothing is decided."""


class Bound:
    """Watches the share of failed requests over the last seconds.

    Args:
        share: failed requests at which to stop, 0 to 1; 1 never stops.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._seconds: deque[tuple[int, int]] = deque(maxlen=WINDOW)

    def broken(self, done: Mapping[Key, int]) -> str | None:
        """Add a second's requests by key; return why to stop, or None."""
        failed = sum(count for (outcome, _, _), count in done.items() if outcome != "ok")
        self._seconds.append((failed, sum(done.values())))
        bad, all_ = (sum(column) for column in zip(*self._seconds, strict=True))
        if all_ < _FEWEST or bad / all_ <= self._share or self._share >= 1:
            return None
        window = len(self._seconds)
        return f"{bad} of {all_} requests of the last {window} s failed; the bound is {self._share:g}"
