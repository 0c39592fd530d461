"""The file that Locust runs (`locust -f`): one user class, the profile as a shape, results every second."""

from __future__ import annotations

import logging
import os
import signal
from math import ceil
from time import time
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust import LoadTestShape, events
from locust.env import Environment

from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.recorder import Recorder
from mlk8s.loadgen.settings import Settings
from mlk8s.loadgen.tls import context_factory
from mlk8s.loadgen.user import InferUser, Plan

SPAWN_RATE = 100
"""Users started a second; Locust warns above this."""

# A shell gives its background jobs an ignored SIGINT, which Locust inherits; SIGINT is how it is stopped.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings = Settings.read()
# The process that sends is the last one that can refuse: the parent has checked, and so does it.
check_target(settings.url, settings.allowed)
plan = Plan.of(settings, Recorder(settings.directory / f"requests-{os.getpid()}.jsonl", settings.name))
log = logging.getLogger("mlk8s.loadgen")


class ServiceUser(InferUser):
    """The user of this test."""

    host = settings.url
    plan = plan
    network_timeout = settings.timeout
    connection_timeout = settings.timeout
    ssl_context_factory = staticmethod(
        context_factory(settings.host or urlsplit(settings.url).hostname or "", settings.ca)
    )


class ProfileShape(LoadTestShape):  # type: ignore[misc]  # locust has no types
    """Gives Locust the number of users of the profile, a second ahead of their need, and ends the test."""

    def tick(self) -> tuple[int, float] | None:
        """Return (users, users started a second), or None when the profile is over."""
        into = time() - plan.start
        if into >= plan.schedule.duration:
            return None
        ahead = 0.0 if plan.schedule.closed_loop else 1.0
        return plan.schedule.users_at(max(0.0, min(into + ahead, plan.schedule.duration))), SPAWN_RATE


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    # A whole second, so that seconds of schedule and clock agree; late enough for the first users to start.
    plan.start = float(ceil(time() + plan.schedule.users_at(0) / SPAWN_RATE + 0.2))
    plan.recorder.begin(int(plan.start))
    gevent.spawn(_write_each_second, environment)


@events.quit.add_listener  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    _write(int(time()) + 1, users=0, dropped=plan.pacer.dropped)


def _write_each_second(environment: Environment) -> None:
    """Write results when a second is over, and stop when the parent process is gone."""
    while True:
        now = time()
        gevent.sleep(int(now) + 1.01 - now)
        _write(int(time()), users=environment.runner.user_count, dropped=plan.pacer.dropped)
        if settings.parent and os.getppid() != settings.parent:
            log.error("process %d, which started this load test, is gone: stopping", settings.parent)
            environment.runner.quit()
            return


def _write(end: int, *, users: int, dropped: int) -> None:
    try:
        plan.recorder.write_until(end, users=users, offered=_offered, dropped=dropped)
        plan.pacer.dropped -= dropped
    except OSError as error:
        log.error("results of this second are kept back: %s", error)


def _offered(second: int) -> float | None:
    if plan.schedule.closed_loop:  # users offer what the service takes
        return None
    due, into = plan.schedule.due_until, second - plan.start
    return due(into + 1) - due(into)
