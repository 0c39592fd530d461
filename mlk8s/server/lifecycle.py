"""Start, readiness and the end of the server's process.

Start: listen at once (live), load and warm the model in a thread, then ready. SIGTERM: for `drain` seconds
readiness is 503 and every answer closes its connection, while requests are still taken; then the listener
closes, and what is in flight finishes. A second SIGTERM or SIGINT ends at once.
"""

from __future__ import annotations

import asyncio
import socket
import time
from types import FrameType

import uvicorn

from mlk8s.errors import Mlk8sError, UsageError
from mlk8s.server.app import Api
from mlk8s.server.config import ServerConfig
from mlk8s.server.log import log
from mlk8s.server.model import Model


class PodServer(uvicorn.Server):
    """Uvicorn, ended in steps."""

    def __init__(self, api: Api) -> None:
        super().__init__(
            uvicorn.Config(
                api.application(),
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=2048,
                # Longer than a proxy keeps an idle connection (Traefik: 90 s): the proxy closes first.
                timeout_keep_alive=120,
                timeout_graceful_shutdown=int(api.config.shutdown) + 1,
            )
        )
        self._api = api
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.failure: Mlk8sError | None = None

    async def run_until_stopped(self, listener: socket.socket, started: float) -> None:
        """Serve until a signal has come and what was in flight is answered, or the model cannot be loaded."""
        self._loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._load(started)), asyncio.create_task(self._drain())]
        try:
            await self.serve([listener])
        finally:
            for task in tasks:
                task.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's signature
        """First signal: drain. Second: end at once."""
        if self._api.draining:
            self.should_exit = self.force_exit = True
            return
        self._api.draining = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _load(self, started: float) -> None:
        api, began = self._api, time.monotonic()
        try:
            api.model = await asyncio.to_thread(Model.load, api.config.model_dir, threads=api.config.threads)
        except Mlk8sError as error:
            self.failure, self.should_exit = error, True
            return
        told = {"model": api.name, "version": api.manifest.version, "digest": api.manifest.digest}
        if api.model.warm_up_error:
            log("warm_up_failed", **told, error=api.model.warm_up_error)
        now = time.monotonic()
        log("ready", **told, provider=api.model.provider, load_seconds=round(now - began, 3),
            start_seconds=round(now - started, 3))  # fmt: skip

    async def _drain(self) -> None:
        await self._stop.wait()
        log("draining", in_flight=self._api.metrics.in_flight.now)
        await asyncio.sleep(self._api.config.drain)
        self.should_exit = True


def listen(config: ServerConfig) -> socket.socket:
    """Bind the port.

    Raises:
        UsageError: it is taken, or the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The server cannot listen: {error.strerror}.",
            where=f"{config.host}:{config.port}",
            expected="a free port (PORT) on an address of this machine (HOST)",
        ) from None
    return listener


def serve(config: ServerConfig, api: Api, started: float) -> None:
    """Run the server to its end.

    Raises:
        Mlk8sError: the port is taken, or the model cannot be loaded.
    """
    import uvloop

    listener = listen(config)
    server = PodServer(api)
    host, port = listener.getsockname()[:2]
    log(
        "listening",
        host=host,
        port=port,
        base_path=config.base_path,
        model=api.name,
        version=api.manifest.version,
    )
    uvloop.run(server.run_until_stopped(listener, started))
    if server.failure:
        raise server.failure
    log("stopped", in_flight=api.metrics.in_flight.now)
