"""A timer with microseconds: the event loop's own has milliseconds, which would be the generator's lag.

Linux gives timers as file descriptors (timerfd_create(2)); Python has them from 3.13 on, so libc is asked.
Where there are none the loop's timer is taken.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from time import CLOCK_MONOTONIC, perf_counter_ns

_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_NANO = 1_000_000_000


class _Times(ctypes.Structure):
    """struct itimerspec: an interval, which stays 0, and the first expiry."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval", "interval_ns", "seconds", "nanoseconds")]


class Timer:
    """Calls back once, at a reading of perf_counter_ns, which on Linux is CLOCK_MONOTONIC."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._late: asyncio.TimerHandle | None = None
        self._armed = 0
        """What the timer is set to; 0: nothing."""
        self._file = -1
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "timerfd_create"):
            self._file = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file >= 0:
            self._set = libc.timerfd_settime
            self._times = _Times()
            self._at = ctypes.byref(self._times)
            loop.add_reader(self._file, self._expired)

    def _expired(self) -> None:
        self._armed = 0
        self._callback()
        if not self._armed and self._file >= 0:  # a timer that was set anew is not readable any more
            with suppress(BlockingIOError):
                os.read(self._file, 8)  # else it stays readable

    def _run(self) -> None:
        self._armed = 0
        self._callback()

    def at(self, moment: int) -> None:
        """Call back at `moment`, at once where that is past; an earlier request is forgotten."""
        if moment == self._armed:
            return
        self._armed = moment
        if self._file >= 0:
            self._times.seconds, self._times.nanoseconds = divmod(max(moment, 1), _NANO)
            self._set(self._file, _ABSOLUTE, self._at, None)
            return
        if self._late is not None:
            self._late.cancel()
        self._late = self._loop.call_later(max(0, moment - perf_counter_ns()) / _NANO, self._run)

    def close(self) -> None:
        """Forget what is due."""
        if self._late is not None:
            self._late.cancel()
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1
