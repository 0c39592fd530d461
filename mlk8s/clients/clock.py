"""The one clock of a load test: seconds since the epoch that never run backwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Wall time of the start plus monotonic time since: a step of the machine's clock moves nothing."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return self._offset + time.monotonic()

    def sleep_until(self, moment: float) -> None:
        """Wait until `moment`, in seconds since the epoch; return at once when it is past."""
        time.sleep(max(0.0, moment - self.now()))


def utc(moment: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
