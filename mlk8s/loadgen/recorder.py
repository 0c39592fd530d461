"""Keeps what happened, second by second, and writes each past second as JSON lines.

Two kinds of line, both with "t", a second since the epoch:

    {"t", "kind": "load", "users", "offered", "sent", "in_flight", "waiting", "lag": {"bucket": count}}
    {"t", "kind": "requests", "name", "outcome", "status", "version", "count", "hist": {"bucket": count}}

There is one line of the first kind a second, always. A request belongs to the second in which it ended. A
second is written by one write call when it is over, so that a process killed at any moment loses no more than
the second that was running.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from mlk8s.loadgen.appending import Appender
from mlk8s.loadgen.histogram import Histogram

Key = tuple[str, int, str]
"""(outcome, HTTP status or 0, model version or "")"""


class Recorder:
    """Counts the requests of the running second and appends finished seconds to one file.

    Args:
        path: file to append to; created.
        endpoint: name of what is called, in every line.
        second: the first second, since the epoch.
    """

    def __init__(self, path: Path, endpoint: str, second: int) -> None:
        self._file = Appender(path)
        self._endpoint = endpoint
        self.second = second
        """The running second since the epoch: the first one that is not written."""
        self.series: dict[Key, Histogram] = {}
        """Latencies of the running second; where a key is missing, `open` it."""
        self.lag = Histogram()
        """How late requests of the running second were sent, or queued for a connection."""

    def open(self, key: Key) -> Histogram:
        """Return the histogram of an outcome that this second has not seen yet."""
        return self.series.setdefault(key, Histogram())

    def fold(self) -> int:
        """Count what was recorded since the last call, and return how many; one pause a second would be
        felt, many small ones are not."""
        return self.lag.fold() + sum(latencies.fold() for latencies in self.series.values())

    def end_second(self, **load: Any) -> None:
        """Write the running second, an empty one too, and begin the next.

        Args:
            load: what else its "load" line tells.

        Raises:
            OSError: when the disk is full; what was not written stays in memory and goes with the next
                second.
        """
        said = {"t": self.second, "kind": "load", **load, "lag": self.lag.sparse()}
        lines = [orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS)]
        for (outcome, status, version), latencies in self.series.items():
            line = {
                "t": self.second, "kind": "requests", "name": self._endpoint, "outcome": outcome,
                "status": status, "version": version, "count": latencies.count, "hist": latencies.sparse(),
            }  # fmt: skip
            lines.append(orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS))
        # A new dict, never a cleared one: who holds a histogram of the old second must not count into it.
        self.series, self.lag = {}, Histogram()
        self.second += 1
        self._file.append(b"".join(line + b"\n" for line in lines))

    def flush(self) -> None:
        """Write what a full disk did not take before.

        Raises:
            OSError: when it still does not.
        """
        self._file.append(b"")
