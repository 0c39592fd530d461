"""Options that say what a load test sends: one shape, and how it is sent."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.files import read_utf8
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.spec.load import LoadProfile

_LOAD, _LIMITS = "Load", "Limits"


class Arrivals(StrEnum):
    """How requests come."""

    REGULAR = "regular"
    POISSON = "poisson"


def _option(name: str, metavar: str, words: str, panel: str = _LOAD) -> Any:
    return typer.Option(name, metavar=metavar, rich_help_panel=panel, help=words)


Steps = Annotated[
    str | None,
    _option("--steps", "RPS,RPS,...", "Requests/s that are offered, step by step; one is constant."),
]
Ramp = Annotated[str | None, _option("--ramp", "FROM,TO", "Requests/s that change evenly, during --hold.")]
Spike = Annotated[
    str | None,
    _option("--spike", "RPS,PEAK,WIDTH", "Requests/s with a sudden peak for WIDTH, --hold before and after."),
]
Sinusoid = Annotated[
    str | None,
    _option("--sinusoid", "MEAN,AMPLITUDE,PERIOD", "Requests/s that swing around a mean, during --hold."),
]
Users = Annotated[
    str | None, _option("--users", "N,N,...", "A closed loop: users that wait for each answer.")
]
Trace = Annotated[
    Path | None,
    _option("--trace", "FILE", "Recorded load: a time a line, in seconds or as RFC 3339, that is replayed."),
]
Speed = Annotated[float | None, _option("--speed", "FACTOR", "How much faster than recorded; 1 by default.")]
ProfileFile = Annotated[
    Path | None, _option("--profile", "FILE", "Any of these as YAML, with the fields of LoadProfile.")
]
Hold = Annotated[str | None, _option("--hold", "DURATION", "How long each step lasts; 30s by default.")]
Arrive = Annotated[
    Arrivals | None,
    _option("--arrivals", "regular|poisson", "As a clock would send (default), or at random as people do."),
]
Seed = Annotated[
    int | None, _option("--seed", "N", "Of random arrivals: same seed, same times; 1 by default.")
]
Warmup = Annotated[
    str | None, _option("--warmup", "DURATION", "Time at the beginning that is not judged; none by default.")
]
RequestTimeout = Annotated[
    str | None,
    _option("--request-timeout", "DURATION", "In which a request must be answered; 10s by default."),
]
StopAbove = Annotated[
    float | None,
    _option(
        "--stop-above", "SHARE",
        "Share of failed requests in ten seconds that ends the test, 0.5 by default; 1 never does.", _LIMITS,
    ),
]  # fmt: skip
MostRps = Annotated[
    float | None, _option("--most-rps", "RPS", "Ceiling of the rate: 10,000 requests/s by default.", _LIMITS)
]
MostUsers = Annotated[
    int | None, _option("--most-users", "N", "Ceiling of users and connections: 1,000 by default.", _LIMITS)
]
MostDuration = Annotated[
    str | None, _option("--most-duration", "DURATION", "Ceiling of the length: 1h by default.", _LIMITS)
]
OwnTarget = Annotated[
    str | None,
    _option(
        "--i-own-this-target", "HOST",
        "Send to this host, which is neither loopback nor the cluster's own ingress.", _LIMITS,
    ),
]  # fmt: skip


def profile(
    *, steps: str | None, ramp: str | None, spike: str | None, sinusoid: str | None, users: str | None,
    trace: Path | None, speed: float | None, file: Path | None, hold: str | None, **options: Any,
) -> LoadProfile:  # fmt: skip
    """Return the one profile that the options ask for; `options` are fields of LoadProfile, None: not given.

    Raises:
        UsageError: none or several shapes, or one that cannot be read.
        SpecError: a value is outside its range, or above a ceiling.
    """
    from mlk8s.spec.load import LoadProfile

    given = {
        "--steps": steps, "--ramp": ramp, "--spike": spike, "--sinusoid": sinusoid, "--users": users,
        "--trace": trace, "--profile": file,
    }  # fmt: skip
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise UsageError(
            f"{' and '.join(named)} are given" if named else "no load is given",
            expected=f"exactly one of {', '.join(given)}", next_step="such as --steps 50,100,200 --hold 60s",
        )  # fmt: skip
    if hold is not None and (file or trace):
        raise UsageError(f"--hold and {named[0]} are given", expected=f"the times that {named[0]} has")
    if speed is not None and trace is None:
        raise UsageError("--speed belongs to --trace", expected="--trace FILE")
    more = {name: value for name, value in options.items() if value is not None}
    if file is not None:
        return LoadProfile.of(_yaml(file) | more)
    if trace is not None:
        return LoadProfile.replay(_times(trace), speed=1.0 if speed is None else speed, **more)
    length = hold or "30s"
    if steps is not None:
        return LoadProfile.steps(rps=_numbers("--steps", steps), hold=length, **more)
    if users is not None:
        counts = _numbers("--users", users)
        if any(count != int(count) for count in counts):
            raise UsageError(f"--users {users!r} are not whole numbers", expected="such as --users 4,8")
        return LoadProfile.closed(users=[int(count) for count in counts], hold=length, **more)
    if ramp is not None:
        start, end = _parts("--ramp", ramp, "FROM,TO", "10,200")
        return LoadProfile.ramp(start=float(start), end=float(end), over=length, **more)
    if spike is not None:
        rate, peak, width = _parts("--spike", spike, "RPS,PEAK,WIDTH", "20,200,10s")
        return LoadProfile.spike(
            rps=float(rate), peak=float(peak), before=length, width=width, after=length, **more
        )
    mean, swing, period = _parts("--sinusoid", sinusoid or "", "MEAN,AMPLITUDE,PERIOD", "50,30,60s")
    return LoadProfile.sinusoid(
        mean=float(mean), amplitude=float(swing), period=period, hold=length, **more
    )  # fmt: skip


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(item) for item in text.split(",")]
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a list of numbers", expected=f"such as {option} 5,10,20"
        ) from None


def _parts(option: str, text: str, form: str, example: str) -> list[str]:
    """Return the values of an option of two numbers, and a duration where there is a third."""
    parts = [part.strip() for part in text.split(",")]
    try:
        if len(parts) != form.count(",") + 1:
            raise ValueError
        float(parts[0]), float(parts[1])
    except ValueError:
        raise UsageError(
            f"{option} {text!r} cannot be read", expected=f"{form}, such as {option} {example}"
        ) from None
    return parts


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(read_utf8(str(file)))
    except yaml.YAMLError as error:
        raise UsageError(f"not YAML: {error}", where=str(file)) from None
    if not isinstance(values, dict) or any(not isinstance(key, str) for key in values):
        raise UsageError(
            "not a load profile", where=str(file), expected="fields of LoadProfile, such as stages: [...]"
        )
    return values


def _times(file: Path) -> list[float]:
    """Return the times of a trace in seconds; empty lines and those that begin with # count for nothing."""
    times = []
    for number, line in enumerate(read_utf8(str(file)).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            times.append(_time(text))
        except ValueError:
            raise UsageError(
                f"{text[:60]!r} is no time", where=f"{file}, line {number}",
                expected="a time a line: seconds such as 12.25, or RFC 3339 such as 2026-11-28T13:00:00.250Z",
            ) from None  # fmt: skip
    if not times:
        raise UsageError("the trace has no time in it", where=str(file), expected="a time a line")
    return times


def _time(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no time zone") from None
        return moment.timestamp()
    if not 0 <= value < float("inf"):
        raise ValueError("no time")
    return value
