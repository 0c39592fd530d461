"""One JSON line an event, on stderr."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import orjson


def log(event: str, **fields: object) -> None:
    """Write an event with its fields; values that are no JSON are written as text."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    sys.stderr.buffer.write(orjson.dumps(line, default=str) + b"\n")
    sys.stderr.buffer.flush()
