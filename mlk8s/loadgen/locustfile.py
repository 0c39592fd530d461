"""The file that Locust runs (`locust -f`): it starts engines, brings them together at one second, and shows
results.

Locust is the orchestrator: it has the workers, the test's beginning and end, the web UI and the exit code.
The load itself is sent by a process beside each worker (`python -m mlk8s.loadgen`), which Locust's patched
interpreter and its statistics do not slow down.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from math import ceil, inf
from time import time
from typing import Any

import gevent
from gevent import subprocess
from gevent.event import AsyncResult
from locust import LoadTestShape, User, events, runners, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from mlk8s.loadgen.arrivals import Profile
from mlk8s.loadgen.feed import feed
from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.settings import ENGINE_ENVIRONMENT, INDEX, Settings
from mlk8s.loadgen.tail import Tail

READY, BEGIN, ENDED = "mlk8s-ready", "mlk8s-begin", "mlk8s-ended"
_HEAD_START = 0.5
"""Seconds between the word to begin and the first request, at least."""
_PATIENCE = 60.0
"""Seconds that all engines may take to start."""

# A shell gives its background jobs an ignored SIGINT, which Locust inherits; SIGINT is how it is stopped.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Locust gives the users of a worker that is silent for a minute to the others: its share would be sent twice.
runners.HEARTBEAT_DEAD_INTERNAL = -86_400

settings = Settings.read()
check_target(settings.url, settings.allowed)
profile = Profile(settings.stages)
log = logging.getLogger("mlk8s.loadgen")


class Meeting:
    """Brings the engines together: it begins when all are ready, and is over when all have ended."""

    def __init__(self) -> None:
        self.environment: Environment
        self.begin: AsyncResult = AsyncResult()
        """Second since the epoch at which the profile starts."""
        self.engine: Any = None
        """This process' own engine, once it is started."""
        self._ready = 0
        self._ended: set[str] = set()
        """Workers whose engine has ended."""
        self._since = inf

    def join(self, environment: Environment) -> None:
        """Listen to the other side: a master hears its workers, a worker its master."""
        self.environment = environment
        runner = environment.runner
        if isinstance(runner, MasterRunner):
            runner.register_message(READY, lambda **_: self.ready())
            runner.register_message(ENDED, lambda msg, **_: self.ended(msg.data, msg.node_id))
        elif isinstance(runner, WorkerRunner):
            runner.register_message(BEGIN, lambda msg, **_: self.begin.set(msg.data))

    def open(self) -> None:
        """Count the engines' time to start from now on: workers in pods may come late."""
        self._since = time()

    def ready(self) -> None:
        """Count an engine that waits for the beginning; the last one begins the test."""
        runner = self.environment.runner
        if isinstance(runner, WorkerRunner):
            runner.send_message(READY)
            return
        self._ready += 1
        if self._ready == settings.workers:
            start = ceil(time() + _HEAD_START)
            self.begin.set(start)
            if isinstance(runner, MasterRunner):
                runner.send_message(BEGIN, start)

    def ended(self, why: str | None, worker: str = "") -> None:
        """Count the engine of a worker that has ended, with the reason where it is not the profile's end."""
        runner = self.environment.runner
        if isinstance(runner, WorkerRunner):
            runner.send_message(ENDED, why)
            return
        self._ended.add(worker)
        if why:
            log.error("%s", why)
            self.environment.process_exit_code = 1

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        if len(self._ended) >= settings.workers:
            return True
        if self._ready < settings.workers and time() - self._since > _PATIENCE:
            log.error("%d of %d engines are ready after %g s", self._ready, settings.workers, _PATIENCE)
            self.environment.process_exit_code = 1
            return True
        runner = self.environment.runner
        # A worker that died says no word; what it would have sent is missing, and the results tell.
        return (
            isinstance(runner, MasterRunner)
            and self.begin.ready()
            and self._ended.issuperset(client.id for client in runner.clients.running)
        )


meeting = Meeting()


class EngineUser(User):  # type: ignore[misc]  # locust has no types
    """Runs this worker's engine; there is one user a worker."""

    owner = False

    @task  # type: ignore[untyped-decorator]
    def attend(self) -> None:
        """Start the engine, let it begin with the others, and wait for its end.

        Locust gives the user of a worker that quits to one that is left: its own engine is enough, and the
        share of the other is missing.
        """
        if meeting.engine is not None:
            return
        self.owner = True
        connected = getattr(self.environment.runner, "worker_index", 0)
        index = int(os.environ[INDEX]) if settings.in_pods else max(0, connected)
        command = [sys.executable, "-m", "mlk8s.loadgen", "--share", f"{index}/{settings.workers}"]
        meeting.engine = engine = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | ENGINE_ENVIRONMENT,
        )  # fmt: skip
        file = engine.stdout.readline().strip()  # it says where its results go when it is ready
        if file:
            meeting.ready()
            while not meeting.begin.ready() and engine.poll() is None:
                gevent.sleep(0.02)
            if meeting.begin.ready():
                engine.stdin.write(f"{meeting.begin.get()}\n")
                engine.stdin.flush()
            _follow(Tail(lambda: [settings.directory / file]), engine)
        code, words = engine.wait(), engine.stderr.read().strip()
        if code in (0, 128 + signal.SIGTERM):  # over, or stopped in order
            meeting.ended(None)
        else:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            meeting.ended(words or f"the load generator {how}")

    def wait_time(self) -> float:
        """Return a day: there is nothing more to do, and a user that waits can be stopped at once."""
        return 86_400.0

    def on_stop(self) -> None:
        if self.owner and meeting.engine.poll() is None:  # it had its time to end
            meeting.engine.kill()


def _follow(results: Tail, engine: Any) -> None:
    """Feed Locust's statistics until the engine has ended."""
    ended = False
    while not ended:
        ended = engine.poll() is not None
        for line in results.new():
            if line["kind"] == "requests":
                feed(meeting.environment.runner.stats, line)
        if not ended:
            gevent.sleep(0.25)


class ProfileShape(LoadTestShape):  # type: ignore[misc]  # locust has no types
    """One user a worker until the meeting is over."""

    def tick(self) -> tuple[int, float] | None:
        """Return (users, users started a second), or None when the test is over."""
        return None if meeting.over else (settings.workers, 100.0)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _open(**_: Any) -> None:
    meeting.open()


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    """Let the engine end in order: Locust itself waits for what its users do, and says no word to them."""
    if meeting.engine is not None and meeting.engine.poll() is None:
        meeting.engine.terminate()


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    meeting.join(environment)
    if settings.parent and not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(_end_with_parent, environment)


def _end_with_parent(environment: Environment) -> None:
    while os.getppid() == settings.parent:
        gevent.sleep(1.0)
    log.error("process %d, which started this load test, is gone: stopping", settings.parent)
    environment.runner.quit()
