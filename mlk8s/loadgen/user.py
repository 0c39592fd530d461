"""The Locust user that sends V2 infer requests when they are due, and times them itself.

Locust rounds response times to whole milliseconds; here each request is timed with perf_counter and kept in a
histogram. Locust's own statistics are still fed, so its summary in the log stays usable.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import perf_counter, time
from typing import Any, ClassVar

from gevent import Timeout
from locust import FastHttpUser, task

from mlk8s.loadgen.answer import classify, rows_of
from mlk8s.loadgen.recorder import Recorder
from mlk8s.loadgen.schedule import Pacer, Schedule
from mlk8s.loadgen.settings import Settings

VERSION_HEADER = "X-Model-Version"
_UNTIL_STOPPED = 86_400.0


@dataclass
class Plan:
    """What all users of the process share."""

    settings: Settings
    schedule: Schedule
    pacer: Pacer
    recorder: Recorder
    body: bytes
    rows: int | None
    start: float = inf
    """Second since the epoch at which the profile starts."""

    @classmethod
    def of(cls, settings: Settings, recorder: Recorder) -> Plan:
        schedule = Schedule(settings.stages, settings.connections)
        body = (settings.directory / settings.body).read_bytes()
        return cls(settings, schedule, Pacer(schedule), recorder, body, rows_of(body))


class InferUser(FastHttpUser):  # type: ignore[misc]  # locust has no types
    """One connection: waits for the next due time, sends a request, checks and records the answer."""

    abstract = True
    plan: ClassVar[Plan]
    max_retries = 0
    max_redirects = 0  # a redirect could lead the load to a host that nobody checked

    def on_start(self) -> None:
        self.wait()

    def wait_time(self) -> float:
        """Return the seconds until this user's next request; Locust may stop a user only while it waits."""
        plan = self.plan
        now = time() - plan.start
        if plan.schedule.closed_loop:
            return max(0.0, -now)
        due = plan.pacer.take(now)
        return max(0.0, due - now) if due < inf else _UNTIL_STOPPED

    @task  # type: ignore[untyped-decorator]
    def infer(self) -> None:
        """Send one request and record its latency, outcome, status and model version."""
        plan = self.plan
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if plan.settings.host is not None:
            headers["Host"] = plan.settings.host
        status, version, outcome = 0, "", "connection"
        plan.recorder.sent(time())
        began = perf_counter()
        took = 0.0
        try:
            with self.client.post(
                plan.settings.path, data=plan.body, headers=headers, name=plan.settings.name,
                catch_response=True, allow_redirects=False,
            ) as response:  # fmt: skip
                took = perf_counter() - began
                status = response.status_code
                if status:
                    outcome = classify(status, response.content, plan.rows)
                    version = response.headers.get(VERSION_HEADER) or ""
                else:
                    outcome = "timeout" if _timed_out(getattr(response, "error", None)) else "connection"
                if outcome == "ok":
                    response.success()
                else:
                    response.failure(f"{outcome} (status {status})")
        finally:  # a user that is stopped by force leaves its request here, too
            plan.recorder.record(time(), took or perf_counter() - began, outcome, status, version)


def _timed_out(error: Any) -> bool:
    seen = 0
    while error is not None and seen < 5:
        if isinstance(error, (TimeoutError, Timeout)) or "timed out" in str(error).lower():
            return True
        error = getattr(error, "original", None) or error.__cause__ or error.__context__
        seen += 1
    return False
