"""One HTTP/1.1 connection of the load generator: one request at a time, and the reading of its answer."""

from __future__ import annotations

import asyncio
import os
from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from mlk8s.loadgen.engine import Engine

VERSION_HEADER = b"x-model-version"
_LARGEST = 64 * 2**20
"""Bytes of an answer; a longer one is a fault of the connection."""


class Connection(asyncio.Protocol):
    """Sends the engine's request, and tells the engine when its answer is whole.

    An answer that is, byte for byte, one that was read before needs no reading: `engine.known` says what it
    was.
    """

    __slots__ = ("_file", "answer", "answered", "due", "engine", "transport")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.transport: asyncio.WriteTransport
        self.due = 0
        """When the request in flight should have been sent (perf_counter_ns); 0: none is in flight."""
        self.answer: Answer | None = None
        """What has come so far of an answer that is not whole, or not known."""
        self.answered = False
        """Whether any request had an answer here."""
        self._file = -1
        """The socket where requests may be written to it at once; -1: through the transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        if transport.get_extra_info("ssl_object") is None:
            self._file = transport.get_extra_info("socket").fileno()
        self.engine.opened(self)

    def send(self, due: int) -> None:
        """Send a request that was due at `due`, a reading of perf_counter_ns."""
        self.due = due
        request = self.engine.request
        # The number of a socket that the transport has closed may be another's by now.
        if self._file < 0 or self.transport.is_closing():
            self.transport.write(request)
            return
        # At once: the transport writes at the end of the loop's turn, after all that are due have been looked
        # at, and for more CPU.
        try:
            done = os.write(self._file, request)
        except BlockingIOError:
            done = 0
        except OSError:  # connection_lost records it
            self.transport.abort()
            return
        if done < len(request):
            self._file = -1  # the transport has the rest; what comes after it must not overtake it
            self.transport.write(request[done:])

    def data_received(self, data: bytes) -> None:
        engine = self.engine
        key = engine.known.get(data)
        if key is None or self.answer is not None or not self.due:
            self._read(data)
            return
        now = perf_counter_ns()
        (engine.recorder.series.get(key) or engine.recorder.open(key)).add(now - self.due)
        self.due = 0
        self.answered = True
        engine.free(self, now)

    def _read(self, data: bytes) -> None:
        if not self.due:
            self.transport.abort()  # an answer without a request
            return
        whole = self.answer is None
        answer = self.answer = self.answer or Answer()
        try:
            answer.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            answer.faulty = True
        if answer.size > _LARGEST or answer.faulty or answer.messages > 1:
            self.transport.abort()  # connection_lost records it
            return
        if answer.messages:
            self._end(answer, data if whole else None)

    def _end(self, answer: Answer, data: bytes | None) -> None:
        key = self.engine.judge(answer)
        self.answered = True
        if data is not None and answer.keep_alive:
            self.engine.remember(data, key)
        self._record(key)
        if answer.keep_alive:
            self.engine.free(self, perf_counter_ns())
        else:
            self.transport.close()

    def _record(self, key: tuple[str, int, str]) -> None:
        self.engine.recorder.open(key).add(perf_counter_ns() - self.due)
        self.due, self.answer = 0, None

    def give_up(self, outcome: str) -> None:
        """Record the request in flight as one without an answer, and close the connection."""
        self._record((outcome, 0, ""))
        self.transport.abort()

    def eof_received(self) -> None:
        if self.answer is not None and self.answer.ends_with_connection:
            self.answer.keep_alive = False
            self._end(self.answer, None)

    def connection_lost(self, _: Exception | None) -> None:
        if self.due:
            self._record(("connection", 0, ""))
        self.engine.lost(self)


class Answer:
    """What httptools reads of one answer."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.version = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.size = 0
        self.messages = 0
        self.keep_alive = True
        self.faulty = False
        self.ends_with_connection = False
        """The body has no length of its own."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        if name.lower() == VERSION_HEADER:
            self.version = value.decode("ascii", "replace")

    def on_headers_complete(self) -> None:
        framed = {b"content-length", b"transfer-encoding"}
        self.ends_with_connection = not any(name.lower() in framed for name, _ in self.headers)

    def on_body(self, body: bytes) -> None:
        self.body.append(body)
        self.size += len(body)

    def on_message_complete(self) -> None:
        if self.status < 200:  # a word in between, such as 103 Early Hints
            self.headers.clear()
            return
        self.messages += 1
        self.keep_alive = self.parser.should_keep_alive()

    @property
    def status(self) -> int:
        return int(self.parser.get_status_code())
