"""Load and its promise: what a load test sends, stage by stage, and what the service has to hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from inspect import signature
from math import ceil, pi, sin
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlk8s.errors import SpecError
from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Seconds, parse_duration

MOST_RPS = 10_000.0
"""Most requests/s that a profile may offer unless it says so: a wrong zero must not become an attack."""
MOST_USERS = 1_000
MOST_DURATION = 3_600.0
"""Longest profile unless it says otherwise, in seconds."""
_RPS, _USERS, _SECONDS = 1_000_000.0, 100_000, 7 * 86_400.0
"""What no ceiling can be raised above."""

_MANY_STAGES = 12
"""More stages than this are not told one by one."""

Rate = Annotated[float, Field(gt=0, le=_RPS, allow_inf_nan=False)]
Users = Annotated[int, Field(ge=1, le=_USERS, strict=True)]
Duration = Annotated[Seconds, Field(gt=0, le=_SECONDS)]


class Stage(Spec):
    """One stage of a load profile: a rate of requests or a number of users, held for a time.

    Args:
        rps: requests/s that are offered, whatever the service answers; above 0.
        users: instead of `rps`, users that each send the next request when the last is answered; 1 or more.
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
        timeout: seconds from its due time in which a request must be answered, else it counts as a time-out
            (at most 60).
        connections: most connections at once when stages have `rps`; by default two seconds of the highest
            rate, at least 16. A request that finds none free waits, and its wait is part of its latency.
        arrivals: 'regular', as a clock would send, or 'poisson', as many independent people do.
        seed: of the random arrivals: the same seed gives the same due times.
        trace: due times in seconds from the start, ascending, instead of a rate: recorded load that is
            replayed. The only stage then tells its length, and `rps` its mean rate.
        warmup: seconds at the beginning that are sent but not judged; the report marks them.
        stop_above: share of failed requests within ten seconds at which the test stops itself; 1 never does.
        most_rps, most_users, most_duration: ceilings of the rate (10,000 requests/s), of users (1,000) and of
            the length of all stages (an hour). More than that has to be meant: raise them to have it.

    Raises:
        SpecError: when stages are mixed, above a ceiling, or not longer than the warm-up.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=1_000)]
    timeout: Annotated[Seconds, Field(gt=0, le=60)] = 10.0
    connections: Users | None = None
    arrivals: Literal["regular", "poisson"] = "regular"
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 1
    trace: tuple[Annotated[float, Field(ge=0, le=_SECONDS)], ...] | None = None
    warmup: Annotated[Seconds, Field(ge=0, le=_SECONDS)] = 0.0
    stop_above: Annotated[float, Field(gt=0, le=1)] = 0.5
    most_rps: Rate = MOST_RPS
    most_users: Users = MOST_USERS
    most_duration: Duration = MOST_DURATION

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({stage.rps is None for stage in self.stages}) > 1:
            raise ValueError("expected all stages with rps or all with users, not a mixture")
        if self.connections is not None and self.closed_loop:
            raise ValueError("connections belongs to stages with rps; with users, each has one connection")
        highest = max(stage.rps or 0.0 for stage in self.stages)
        users = max([self.connections or 0, *(stage.users or 0 for stage in self.stages)])
        _below("most_rps", highest, self.most_rps, "requests/s")
        _below("most_users", users, self.most_users, "connections" if self.connections else "users")
        _below("most_duration", self.duration, self.most_duration, "s")
        if self.warmup >= self.duration:
            raise ValueError(f"warmup is {self.warmup:g} s of {self.duration:g} s; nothing would be judged")
        if self.closed_loop and self.arrivals != "regular":
            raise ValueError(
                "arrivals belongs to stages with rps: users in a closed loop wait for their answers"
            )
        if self.trace is not None:
            self._check_trace(self.trace)
        return self

    def _check_trace(self, trace: tuple[float, ...]) -> None:
        if not trace or list(trace) != sorted(trace):
            raise ValueError("trace: expected due times in ascending order, at least one")
        if self.closed_loop or len(self.stages) > 1 or trace[-1] > self.duration:
            raise ValueError(
                "a trace is replayed in one stage with rps that is as long: LoadProfile.replay makes it"
            )
        rate = max(Counter(int(second) for second in trace).values())
        _below("most_rps", rate, self.most_rps, "requests in one second of the trace")

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

    @classmethod
    def spike(
        cls,
        *,
        rps: float,
        peak: float,
        before: str | float,
        width: str | float,
        after: str | float,
        **options: Any,
    ) -> LoadProfile:
        """Return `rps` requests/s with a sudden `peak` that lasts for `width`."""
        holds = ((rps, before), (peak, width), (rps, after))
        return cls(stages=tuple(_stage(rps=rate, hold=hold) for rate, hold in holds), **options)

    @classmethod
    def sinusoid(
        cls, *, mean: float, amplitude: float, period: str | float, hold: str | float, **options: Any
    ) -> LoadProfile:
        """Return a rate that swings by `amplitude` around `mean`, in ramps of 1/32 of a period (error below
        0.5 %).

        Raises:
            SpecError: when the amplitude is not below the mean, or there would be more than 1,000 ramps.
        """
        whole, one = _seconds(hold), _seconds(period)
        if not 0 <= amplitude < mean:
            raise SpecError(
                f"amplitude is {amplitude:g}",
                where="LoadProfile.sinusoid",
                expected=f"0 or more, below mean {mean:g}",
            )
        step = one / 32
        count = max(1, round(whole / step))
        stages = [
            _stage(rps=mean, hold=min(1e-3, whole / 2))
        ]  # a ramp begins at the rate of the stage before
        stages += [
            _stage(rps=mean + amplitude * sin(2 * pi * (k + 1) / 32), hold=step, ramp=True)
            for k in range(count)
        ]
        return cls(stages=tuple(stages), **options)

    @classmethod
    def replay(cls, times: Sequence[float], *, speed: float = 1.0, **options: Any) -> LoadProfile:
        """Return recorded load: requests at `times`, in seconds, `speed` times as fast; the first is at 0.

        Raises:
            SpecError: when there is no time, or speed is not above 0.
        """
        if not times or not speed > 0:
            raise SpecError(
                f"{len(times)} times at speed {speed:g}",
                where="LoadProfile.replay",
                expected="times, and a speed above 0",
            )
        first = min(times)
        trace = tuple(sorted((time - first) / speed for time in times))
        hold = max(1.0, float(ceil(trace[-1] + 1e-6)))
        stage = _stage(rps=min(_RPS, max(1e-3, len(trace) / hold)), hold=hold)
        return cls(stages=(stage,), trace=trace, **options)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LoadProfile:
        """Return the profile that a file tells of: fields of LoadProfile, or a shape by name with its own.

            {stages: [{rps: 100, hold: 60s}], timeout: 10s}
            {spike: {rps: 20, peak: 200, before: 30s, width: 10s, after: 60s}, arrivals: poisson}

        The shapes are constant, steps, ramp, spike, sinusoid, closed and replay (with `times`).

        Raises:
            SpecError: no shape and no stages, more than one, or a field that there is not.
        """
        named = [name for name in _SHAPES if name in values]
        if len(named) + ("stages" in values) != 1:
            raise SpecError(
                f"the profile has {' and '.join(named + ['stages'] * ('stages' in values)) or 'no load'}",
                where="LoadProfile", expected=f"exactly one of stages, {', '.join(_SHAPES)}",
            )  # fmt: skip
        if not named:
            return cls(**values)
        shape, more = values[named[0]], {key: value for key, value in values.items() if key != named[0]}
        if not isinstance(shape, Mapping):
            raise SpecError(
                f"{named[0]} is {shape!r}", where="LoadProfile", expected="fields, such as rps: 10"
            )
        make = getattr(cls, named[0])
        try:
            signature(make).bind(**shape, **more)
        except TypeError as error:
            names = [name for name in signature(make).parameters if name != "options"]
            raise SpecError(
                f"{named[0]}: {error}", where="LoadProfile", expected=f"fields of it: {', '.join(names)}"
            ) from None
        found: LoadProfile = make(**shape, **more)
        return found

    def same_load(self, other: LoadProfile) -> bool:
        """Whether both send the same; how much each might have sent does not matter."""
        return self.model_dump(exclude=_CEILINGS) == other.model_dump(exclude=_CEILINGS)

    @property
    def most_connections(self) -> int:
        """Connections that the generator may open."""
        if self.closed_loop:
            return max(stage.users or 0 for stage in self.stages)
        highest = max(stage.rps or 0.0 for stage in self.stages)
        return self.connections or min(self.most_users, max(16, ceil(2 * highest)))

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
        if self.trace is not None:
            return f"a trace of {len(self.trace):,} requests in {self.duration:g} s"
        unit = "users" if self.closed_loop else "requests/s"
        if self.arrivals == "poisson":
            unit += " at random"
        loads = [stage.users if stage.rps is None else stage.rps for stage in self.stages]
        if len(loads) > _MANY_STAGES:
            lowest, highest = min(filter(None, loads)), max(filter(None, loads))
            return f"{len(loads)} stages of {lowest:g} to {highest:g} {unit}, {self.duration:g} s together"
        holds = {stage.hold for stage in self.stages}
        if len(holds) == 1 and not any(stage.ramp for stage in self.stages):
            each = " each" if len(loads) > 1 else ""
            return f"{', '.join(f'{load:g}' for load in loads)} {unit}, {holds.pop():g} s{each}"
        parts = [
            f"{'ramp to ' if stage.ramp else ''}{load:g} {unit} for {stage.hold:g} s"
            for stage, load in zip(self.stages, loads, strict=True)
        ]
        return ", then ".join(parts)


_SHAPES = ("constant", "steps", "ramp", "spike", "sinusoid", "closed", "replay")
_CEILINGS = {"most_rps", "most_users", "most_duration"}


def _below(name: str, value: float, ceiling: float, unit: str) -> None:
    if value > ceiling:
        raise ValueError(
            f"{value:,.10g} {unit} are above the ceiling of {ceiling:,.10g}; if that is meant, raise it: "
            f"{name}={value:.10g} (--{name.replace('_', '-')} {value:.10g})"
        )


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


def _seconds(value: str | float) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise SpecError(str(error), where="LoadProfile") from None
