"""`python -m mlk8s.loadgen --share 0/2`: sends one worker's share of a load test, and ends.

Settings come from the file that MLK8S_LOADTEST names, results go into its directory. It prints the name of
its results file when it is ready, and begins at the second since the epoch that it then reads from standard
input. Exit code 0: the profile was sent; 4: the test stopped itself, standard error says why; 5: the disk is
full, and results are lost; 143: SIGTERM, after which requests in flight have their time to end; a second one
cuts them off.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import ssl
import sys
from urllib.parse import urlsplit

import orjson
import uvloop

from mlk8s.loadgen.answer import rows_of
from mlk8s.loadgen.arrivals import Arrivals, Profile
from mlk8s.loadgen.engine import Engine
from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.recorder import Recorder
from mlk8s.loadgen.samples import Samples
from mlk8s.loadgen.settings import Settings

STOPPED = 4
"""Exit code of a test that stopped itself."""
FULL = 5
"""Exit code where the disk did not take the last results."""


def main() -> int:
    """Run one worker's engine and return its exit code."""
    parser = argparse.ArgumentParser(prog="mlk8s.loadgen")
    parser.add_argument("--share", default="0/1")
    options = parser.parse_args()
    index, _, count = options.share.partition("/")
    settings = Settings.read()
    # The process that sends is the last one that can refuse: others have checked, and so does it.
    check_target(settings.url, settings.allowed)
    name = f"{socket.gethostname()}-{os.getpid()}.jsonl"
    sys.stdout.write(f"requests-{name}\n")
    sys.stdout.flush()
    word = sys.stdin.readline()
    if not word:  # whoever was to say when to begin is gone
        return 128 + signal.SIGTERM
    engine = make(settings, name, (int(index), int(count)), int(word))
    gc.freeze()  # what is there now stays: looking through it for garbage would be a pause of milliseconds
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(engine))
    try:
        engine.recorder.flush()
    except OSError as error:
        sys.stderr.write(f"the last results could not be written: {error.strerror}: {settings.directory}\n")
        return FULL
    return code


def make(settings: Settings, name: str, share: tuple[int, int], start: int) -> Engine:
    """Return the engine of one worker: number `share[0]` of `share[1]`."""
    profile = Profile(settings.stages)
    body = (settings.directory / settings.body).read_bytes()
    url = urlsplit(settings.url)
    host = settings.host or url.hostname or ""
    secure = url.scheme == "https"
    connections = profile.most_users if profile.closed_loop else settings.connections
    _open_files(connections + 64)
    parent = os.getppid()
    return Engine(
        (url.hostname or "", url.port or (443 if secure else 80)),
        request(settings.path, settings.host or url.netloc, body),
        profile,
        Arrivals(profile, seed=settings.seed, share=share, recorded=_trace(settings)),
        Recorder(settings.directory / f"requests-{name}", settings.name, start),
        Samples(settings.directory / f"samples-{name}"),
        rows=rows_of(body),
        start=start,
        timeout=settings.timeout,
        connections=connections,
        share=share,
        tls=(_context(settings.ca), host) if secure else None,
        stop_above=settings.stop_above,
        alive=lambda: os.getppid() == parent,
    )


async def _run(engine: Engine) -> int:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if stopped:
            task.cancel()
        stopped = True
        engine.stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    # Ctrl-C reaches every process of a terminal; it is Locust that decides.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    try:
        await engine.run()
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    if engine.stopped:
        sys.stderr.write(f"{engine.stopped}\n")
        return STOPPED
    return 128 + signal.SIGTERM if stopped else 0


def request(path: str, host: str, body: bytes) -> bytes:
    """Return a whole HTTP/1.1 POST request of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mlk8s-loadgen\r\n"
        f"Content-Type: application/json\r\nAccept-Encoding: identity\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _trace(settings: Settings) -> list[float] | None:
    if settings.trace is None:
        return None
    times: list[float] = orjson.loads((settings.directory / settings.trace).read_bytes())
    return times


def _context(ca: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def _open_files(wanted: int) -> None:
    """Allow as many sockets as connections, where the machine's own limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
