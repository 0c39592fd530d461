"""The options that say how a new version is judged, shared by every command that judges one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.options import collect, seconds
from mlk8s.cli.promise import promise
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.spec.analysis import Analysis, Step

_PANEL = "Evidence"


class OnDeadline(StrEnum):
    """What is done when time is up."""

    ROLLBACK = "rollback"
    PROMOTE = "promote"
    HOLD = "hold"


class Together(StrEnum):
    """What is assumed of failures in one block."""

    ADAPTIVE = "adaptive"
    INDEPENDENT = "independent"
    CORRELATED = "correlated"


def option(name: str, metavar: str, text: str, panel: str = _PANEL) -> Any:
    """Return an option of a panel."""
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)


Steps = Annotated[
    str | None, option("--steps", "PERCENT:TIME,...", "Weights and how long each is held; automatic without.")
]
MaxHarmed = Annotated[
    int | None, option("--max-harmed", "N", "Requests beyond the SLO that the canary may harm (100).")
]
Alpha = Annotated[
    float | None, option("--alpha", "SHARE", "Accepted probability of a wrong rollback (0.01).")
]
Beta = Annotated[float | None, option("--beta", "SHARE", "Accepted probability of a wrong promotion (0.01).")]
Margin = Annotated[
    float | None,
    option("--margin", "SHARE", "Share of the bound by which it may be worse than stable (0.25)."),
]
Failures = Annotated[
    Together | None,
    option(
        "--failures",
        "adaptive|independent|correlated",
        "Whether the requests of a block may fail together.",
    ),
]
BlockLength = Annotated[str | None, option("--block", "DURATION", "Length of a block of time (10s).")]
Bake = Annotated[str | None, option("--bake", "DURATION", "How long it gets requests at least (2m).")]
Deadline = Annotated[
    str | None, option("--deadline", "DURATION", "When the verdict is `inconclusive` (30m).")
]
AtDeadline = Annotated[
    OnDeadline | None, option("--at-deadline", "hold|promote|rollback", "What is done then (rollback).")
]
MinWeight = Annotated[int | None, option("--min-weight", "PERCENT", "First weight without --steps (5).")]
MaxWeight = Annotated[int | None, option("--max-weight", "PERCENT", "Largest weight without --steps (50).")]
PromoteFrom = Annotated[
    int | None, option("--promote-from", "PERCENT", "Weight from which on it may be promoted.")
]


def analysis_of(
    bounds: dict[str, str | float | None],
    *,
    steps: str | None = None,
    failures: Together | None = None,
    at_deadline: OnDeadline | None = None,
    max_harmed: int | None = None,
    **values: Any,
) -> Analysis:
    """Return the analysis of the options that were given.

    Args:
        bounds: of `--slo-...`.
        values: fields of Analysis of the same name; None is its default.

    Raises:
        UsageError: no bound is given, or the steps are no list of PERCENT:TIME.
        SpecError: a value is outside its range, or values contradict each other.
    """
    from mlk8s.spec.analysis import Analysis

    slo = promise(**bounds)
    if slo is None:
        raise UsageError("no promise to judge by", expected="--slo-errors SHARE, --slo-p99 DURATION, ...")
    given = collect(
        slo=slo,
        steps=parse_steps(steps) if steps and steps != "automatic" else None,
        errors=failures.value if failures else None,
        at_deadline=at_deadline.value if at_deadline else None,
        max_harmed_requests=max_harmed,
        **values,
    )
    return Analysis(**given)


def parse_steps(text: str) -> tuple[Step, ...]:
    """Return the steps of `5:1m,25:1m`; a step without a time is held for a minute.

    Raises:
        UsageError: it is no list of PERCENT:TIME.
    """
    from mlk8s.spec.analysis import Step

    found = []
    for item in text.split(","):
        weight, _, pause = item.strip().partition(":")
        if not weight.isdigit():
            raise UsageError(f"--steps {text!r}", expected="PERCENT:TIME,..., such as 5:1m,25:2m")
        found.append(Step(weight=int(weight), pause=seconds(pause or None, 60.0)))
    return tuple(found)
