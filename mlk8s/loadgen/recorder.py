"""Keeps what happened, second by second, and writes each past second as JSON lines.

Two kinds of line, both with "t", a second since the epoch:

    {"t", "kind": "load", "users", "offered", "sent", "dropped", "in_flight"}        one a second, always
    {"t", "kind": "requests", "name", "outcome", "status", "version", "count", "hist": {"bucket": count}}

A request belongs to the second in which its answer came. A second is written by one write call when it is
over, so that a process killed at any moment loses no more than the second that was running.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import orjson

from mlk8s.loadgen.histogram import bucket_of

Key = tuple[str, str, int, str]
"""(endpoint, outcome, HTTP status or 0, model version or "")"""


class Recorder:
    """Counts requests of the running seconds in memory and appends finished seconds to one file.

    Args:
        path: file to append to; created.
        endpoint: name of what is called, in every line.
    """

    def __init__(self, path: Path, endpoint: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._endpoint = endpoint
        self._seconds: dict[int, dict[Key, dict[int, int]]] = {}
        self._sent: dict[int, int] = {}
        self._next = 0
        self.in_flight = 0

    def begin(self, second: int) -> None:
        """Set the first second that will be written."""
        self._next = second

    def sent(self, now: float) -> None:
        """Count a request that starts now; `now` in seconds since the epoch."""
        second = int(now)
        self._sent[second] = self._sent.get(second, 0) + 1
        self.in_flight += 1

    def record(self, now: float, seconds: float, outcome: str, status: int, version: str) -> None:
        """Count a request that ended now and took `seconds`."""
        self.in_flight -= 1
        counts = self._seconds.setdefault(int(now), {})
        histogram = counts.setdefault((self._endpoint, outcome, status, version), {})
        bucket = bucket_of(seconds)
        histogram[bucket] = histogram.get(bucket, 0) + 1

    def write_until(
        self, end: int, *, users: int, offered: Callable[[int], float | None], dropped: int
    ) -> None:
        """Write every second before `end`, an empty one too.

        Args:
            end: the running second since the epoch; it and later ones are kept back.
            users: number of users now.
            offered: gives the requests due in a second; None for a closed loop.
            dropped: requests that no connection was free for, since the last call.

        Raises:
            OSError: when the disk is full; what was not written stays in memory and is tried again.
        """
        lines = []
        for second in range(self._next, end):
            load = {
                "t": second, "kind": "load", "users": users, "offered": offered(second),
                "sent": self._sent.get(second, 0), "dropped": dropped, "in_flight": self.in_flight,
            }  # fmt: skip
            dropped = 0
            lines.append(orjson.dumps(load))
            for (name, outcome, status, version), histogram in self._seconds.get(second, {}).items():
                line = {
                    "t": second, "kind": "requests", "name": name, "outcome": outcome, "status": status,
                    "version": version, "count": sum(histogram.values()), "hist": histogram,
                }  # fmt: skip
                lines.append(orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS))
        if not lines:
            return
        self._append(b"\n".join(lines) + b"\n")
        for second in range(self._next, end):
            self._seconds.pop(second, None)
            self._sent.pop(second, None)
        self._next = end

    def _append(self, data: bytes) -> None:
        done = os.write(self._file, data)
        if done < len(data):  # a nearly full disk takes a part: take it back, so that no half line stays
            os.ftruncate(self._file, os.fstat(self._file).st_size - done)
            raise OSError(28, "no space left for the results")
