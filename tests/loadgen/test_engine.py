"""The engine beside a real server on 127.0.0.1, both in one event loop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from mlk8s.loadgen.__main__ import request
from mlk8s.loadgen.arrivals import Arrivals, Profile
from mlk8s.loadgen.engine import Engine
from mlk8s.loadgen.recorder import Recorder
from mlk8s.loadgen.samples import Samples
from mlk8s.report.results import Results

BODY = b'{"outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [1]}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Server:
    """Answers every whole request, and knows when each one came (ns since the epoch).

    Args:
        sent: the only request there is.
        hang_up: ends each connection after its answer, without a word of it before.
    """

    def __init__(self, sent: bytes, *, hang_up: bool = False) -> None:
        self.sent, self.hang_up = sent, hang_up
        self.came: list[int] = []
        self.open = 0

    def connection(self) -> asyncio.Protocol:
        return Served(self)


class Served(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.read: list[bytes] = []
        self.size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.server.open += 1

    def data_received(self, data: bytes) -> None:
        self.read.append(data)
        self.size += len(data)
        if self.size < len(self.server.sent):
            return
        assert b"".join(self.read) == self.server.sent
        self.read, self.size = [], 0
        self.server.came.append(time.time_ns())
        self.transport.write(ANSWER)
        if self.server.hang_up:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.server.open -= 1


def run(directory: Path, stage: dict[str, Any], server: Server, **changes: Any) -> Results:
    """Run an engine with one stage against a server, and return what it recorded."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server.connection, "127.0.0.1", 0)
        profile = Profile([stage])
        start = int(time.time()) + 2
        values: dict[str, Any] = {"rows": None, "start": start, "timeout": 60.0, "connections": 8}
        engine = Engine(
            listener.sockets[0].getsockname(), server.sent, profile, Arrivals(profile),
            Recorder(directory / "requests-1.jsonl", "m", start), Samples(directory / "samples-1.jsonl"),
            **(values | changes),
        )  # fmt: skip
        await engine.run()
        listener.close()
        while server.open:
            await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return Results.read(directory)


@pytest.mark.parametrize("rate", [200, 14_000])
def test_no_request_is_sent_before_it_is_due(tmp_path: Path, rate: int) -> None:
    server = Server(request("/infer", "here", b"{}"))
    results = run(tmp_path, {"hold": 0.5, "rps": rate}, server)
    count = rate // 2
    assert len(server.came) == count == results.between(0, 1e12).ok
    # Requests are sent in the order in which they are due, so the k-th one that comes is at the earliest the
    # k-th one that was due. The wall clock and the one that requests are timed with may drift apart a little.
    start = min(results.load) * 10**9
    due = [start + k * 10**9 // rate for k in range(count)]
    assert max(moment - at for moment, at in zip(due, sorted(server.came), strict=True)) < 500_000


def test_what_waits_for_those_after_it_is_told_as_lag(tmp_path: Path) -> None:
    server = Server(request("/infer", "here", b"{}"))
    results = run(tmp_path, {"hold": 0.5, "rps": 14_000}, server)
    lag, latency = results.lag(), results.between(0, 1e12).percentiles()
    assert sum(sum(load["lag"].values()) for load in results.load.values()) == 7_000
    # Six requests, 71 µs apart, leave together: 400, 329, 257, 186, 114 and 43 µs where nothing else is late.
    assert lag["p50"] is not None and latency["p50"] is not None
    assert 100e-6 <= lag["p50"] <= latency["p50"]


def test_few_requests_wait_for_none_and_many_for_a_moment(tmp_path: Path) -> None:
    profile = Profile([{"hold": 1, "rps": 1}])
    engine = Engine(
        ("127.0.0.1", 1), b"", profile, Arrivals(profile), Recorder(tmp_path / "requests-1.jsonl", "m", 0),
        Samples(tmp_path / "samples-1.jsonl"), rows=None, start=0, timeout=1.0, connections=1,
    )  # fmt: skip
    few = [0, 110_000, 220_000, 330_000, 440_000]
    many = [10**9 + 90_000 * k for k in range(5)]
    crowd = [2 * 10**9 + 20_000 * k for k in range(9)]
    engine._due = few + many + crowd
    at = [engine.wake(place) for place in range(len(engine._due))]
    assert at[:5] == few
    assert at[5] == many[0] + 400_000 and at[6:10] == many[1:]
    assert at[10:12] == crowd[7:9] and at[12] == crowd[2] + 400_000
    assert all(when >= due for when, due in zip(at, engine._due, strict=True))


def test_a_user_whose_connection_ends_comes_back_at_once(tmp_path: Path) -> None:
    server = Server(request("/infer", "here", b"{}"), hang_up=True)
    total = run(tmp_path, {"hold": 3, "users": 1}, server).between(0, 1e12)
    # With the next look, every 50 ms, there would be at most sixty.
    assert total.ok > 65


def test_a_request_larger_than_a_socket_takes_is_sent_whole(tmp_path: Path) -> None:
    server = Server(request("/infer", "here", b"[" + b" " * 20_000_000 + b"]"))
    total = run(tmp_path, {"hold": 1, "rps": 3}, server, connections=1).between(0, 1e12)
    assert total.outcomes == {"ok": 3} and len(server.came) == 3
