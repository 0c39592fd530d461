"""The options that say what a service promises (`--slo-...`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mlk8s.spec.load import Slo

_PANEL = "Promise"

P50 = Annotated[
    str | None,
    typer.Option("--slo-p50", metavar="DURATION", rich_help_panel=_PANEL, help="Largest accepted median."),
]
P90 = Annotated[
    str | None,
    typer.Option("--slo-p90", metavar="DURATION", rich_help_panel=_PANEL, help="Largest accepted p90."),
]
P95 = Annotated[
    str | None,
    typer.Option("--slo-p95", metavar="DURATION", rich_help_panel=_PANEL, help="Largest accepted p95."),
]
P99 = Annotated[
    str | None,
    typer.Option("--slo-p99", metavar="DURATION", rich_help_panel=_PANEL, help="Largest accepted p99."),
]
Errors = Annotated[
    float | None,
    typer.Option(
        "--slo-errors",
        metavar="SHARE",
        rich_help_panel=_PANEL,
        help="Largest accepted share of errors, 0 to 1.",
    ),
]


def promise(**bounds: str | float | None) -> Slo | None:
    """Return the promise of the bounds that were given; None where there is none.

    Raises:
        SpecError: a bound is outside its range.
    """
    from mlk8s.spec.load import Slo

    given: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
    return Slo(**given) if given else None
