"""The server that benchmarks/loadgen.py loads: it answers at once, and writes down when each request came.

    python loadgen_server.py [--stall-at SECONDS --stall SECONDS]

Prints its port. After SIGUSR1 it prints, as one JSON line, the arrival times since the first request in
nanoseconds, and forgets them. With a stall it does nothing at all for that long, once, from the first request
on that comes so many seconds after the first of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time

import uvloop

BODY = json.dumps(
    {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [0.1, 0.2]}],
    }
).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Model-Version: 1\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)


class Server(asyncio.Protocol):
    """Answers each piece that ends a body of JSON; requests are small and not pipelined."""

    arrivals: list[int] = []  # noqa: RUF012  # of all connections
    stall_at = stall = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        if data.endswith(b"}"):  # a client may send head and body in two pieces
            Server.arrivals.append(now)
            if Server.stall and now - Server.arrivals[0] >= Server.stall_at * 1e9:
                time.sleep(Server.stall)
                Server.stall = 0.0
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def tell() -> None:
    """Print the arrivals and forget them."""
    first = Server.arrivals[0] if Server.arrivals else 0
    sys.stdout.write(json.dumps([arrival - first for arrival in Server.arrivals]) + "\n")
    sys.stdout.flush()
    Server.arrivals.clear()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stall-at", type=float, default=0.0)
    parser.add_argument("--stall", type=float, default=0.0)
    options = parser.parse_args()
    Server.stall_at, Server.stall = options.stall_at, options.stall
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1024)
    loop.add_signal_handler(signal.SIGUSR1, tell)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
