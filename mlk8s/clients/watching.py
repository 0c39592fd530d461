"""What becomes of objects, as the API server tells of it while one connection lasts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

Change = tuple[str, dict[str, Any]]


class Watch:
    """One watch, as ('ADDED' | 'MODIFIED' | 'DELETED', object); `close` may be called from any thread.

    It ends when its time is over, when the connection is lost, or when the server no longer knows the
    version that it was to go on from (410): the caller reads again.

    Args:
        response: the streamed answer, urllib3's.
    """

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Change]:
        from urllib3.exceptions import HTTPError

        rest = b""
        try:
            for chunk in self._response.stream(2**16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["type"], event["object"]
        except (HTTPError, OSError, orjson.JSONDecodeError):
            pass  # lost, silent or closed: the caller looks whether to go on
        finally:
            self._response.close()  # an unread watch cannot go back to the pool

    def close(self) -> None:
        """End the watch, even while another thread waits for its next change."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            pass  # it has ended already
