"""Load and its promise: what a load test sends, stage by stage, and what the service has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Seconds

MAX_RPS = 5_000.0
"""Most requests/s that a profile may offer: a wrong zero must not become an attack."""
MAX_USERS = 1_000
MAX_SECONDS = 3_600.0
"""Longest profile, in seconds."""

Rate = Annotated[float, Field(gt=0, le=MAX_RPS, allow_inf_nan=False)]
Users = Annotated[int, Field(ge=1, le=MAX_USERS, strict=True)]
Duration = Annotated[Seconds, Field(gt=0, le=MAX_SECONDS)]


class Stage(Spec):
    """One stage of a load profile: a rate of requests or a number of users, held for a time.

    Args:
        rps: requests/s that are offered, whatever the service answers (0 < rps <= 5,000).
        users: instead of `rps`, users that each send the next request when the last is answered (1 to 1,000).
        hold: duration, "60s", "1m30s" or a number of seconds.
        ramp: go linearly from the rate of the stage before (0 for the first) to `rps` during `hold`.

    Raises:
        SpecError: when a value is outside its range, or not exactly one of `rps` and `users` is given.
    """

    hold: Duration
    rps: Rate | None = None
    users: Users | None = None
    ramp: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.rps is None) == (self.users is None):
            raise ValueError("expected exactly one of rps (open) and users (closed loop)")
        if self.ramp and self.rps is None:
            raise ValueError("ramp needs rps: the number of users changes in steps")
        return self


class LoadProfile(Spec):
    """What a load test sends over time.

    Args:
        stages: one after the other, all with `rps` or all with `users`.
        timeout: seconds after which a request without an answer counts as a time-out (at most 60).
        connections: most requests in flight at once when stages have `rps`; by default half a second of
            the stage's rate, at least 4. When all are waiting, the generator cannot send more: the difference
            between offered and sent requests is in the results.

    Raises:
        SpecError: when stages are mixed, or together longer than an hour.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=1_000)]
    timeout: Annotated[Seconds, Field(gt=0, le=60)] = 10.0
    connections: Users | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({stage.rps is None for stage in self.stages}) > 1:
            raise ValueError("expected all stages with rps or all with users, not a mixture")
        if self.connections is not None and self.closed_loop:
            raise ValueError("connections belongs to stages with rps; with users, each has one connection")
        if self.duration > MAX_SECONDS:
            raise ValueError(f"the stages last {self.duration:g} s; expected {MAX_SECONDS:g} s or less")
        return self

    @classmethod
    def steps(cls, *, rps: Sequence[float], hold: str | float, **options: Any) -> LoadProfile:
        """Return a staircase: each rate in requests/s is held for `hold`."""
        return cls(stages=tuple(_stage(rps=rate, hold=hold) for rate in rps), **options)

    @classmethod
    def constant(cls, *, rps: float, hold: str | float, **options: Any) -> LoadProfile:
        """Return one rate in requests/s, held for `hold`."""
        return cls.steps(rps=[rps], hold=hold, **options)

    @classmethod
    def ramp(cls, *, start: float, end: float, over: str | float, **options: Any) -> LoadProfile:
        """Return a linear change from `start` to `end` requests/s during `over`, after 1 s at `start`."""
        stages = (_stage(rps=start, hold=1), _stage(rps=end, hold=over, ramp=True))
        return cls(stages=stages, **options)

    @classmethod
    def closed(cls, *, users: Sequence[int] | int, hold: str | float, **options: Any) -> LoadProfile:
        """Return users in a closed loop: each sends its next request when the last one is answered."""
        counts = [users] if isinstance(users, int) else list(users)
        return cls(stages=tuple(_stage(users=count, hold=hold) for count in counts), **options)

    @property
    def closed_loop(self) -> bool:
        """Whether users wait for answers, so that a slow service also gets less load."""
        return self.stages[0].rps is None

    @property
    def duration(self) -> float:
        """Length of all stages together, in seconds."""
        return sum(stage.hold for stage in self.stages)

    def describe(self) -> str:
        """Return the profile in words, such as '50, 100, 200 requests/s, 60 s each'."""
        unit = "users" if self.closed_loop else "requests/s"
        loads = [stage.users if stage.rps is None else stage.rps for stage in self.stages]
        holds = {stage.hold for stage in self.stages}
        if len(holds) == 1 and not any(stage.ramp for stage in self.stages):
            each = " each" if len(loads) > 1 else ""
            return f"{', '.join(f'{load:g}' for load in loads)} {unit}, {holds.pop():g} s{each}"
        parts = [
            f"{'ramp to ' if stage.ramp else ''}{load:g} {unit} for {stage.hold:g} s"
            for stage, load in zip(self.stages, loads, strict=True)
        ]
        return ", then ".join(parts)


class Slo(Spec):
    """What a service promises: bounds on latency percentiles and on the share of failed requests.

    Args:
        p50, p90, p95, p99: largest accepted latency percentile of answered requests, "100ms" or seconds.
        errors: largest accepted share of requests without a right answer, 0 to 1.

    Raises:
        SpecError: when no bound is given or one is outside its range.
    """

    p50: Duration | None = None
    p90: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None
    errors: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if not self.latency and self.errors is None:
            raise ValueError("expected at least one of p50, p90, p95, p99, errors")
        return self

    @property
    def latency(self) -> dict[str, float]:
        """Latency bounds in seconds by percentile name, lowest percentile first."""
        bounds = {"p50": self.p50, "p90": self.p90, "p95": self.p95, "p99": self.p99}
        return {name: bound for name, bound in bounds.items() if bound is not None}


def _stage(**values: Any) -> Stage:
    """Make a stage of values that are still to be converted, such as hold="60s"."""
    return Stage(**values)
