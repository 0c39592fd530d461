"""Options of load tests that are sent from the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.spec.workers import Workers

_PANEL = "Workers in the cluster"

WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        rich_help_panel=_PANEL,
        help="Pods that send together, not this machine.",
    ),
]
WorkerImage = Annotated[
    str | None,
    typer.Option(
        "--worker-image",
        metavar="IMAGE",
        rich_help_panel=_PANEL,
        help="Theirs; a local cluster makes it by itself.",
    ),
]
WorkerCpu = Annotated[
    str | None,
    typer.Option(
        "--worker-cpu",
        metavar="QUANTITY",
        rich_help_panel=_PANEL,
        help="CPU that each asks for (250m).",
    ),
]


def asked(count: int | None, image: str | None, cpu: str | None) -> Workers | None:
    """Return the workers that the options ask for.

    Raises:
        UsageError: an option of theirs without --workers.
        SpecError: a value is outside its range.
    """
    if count is None:
        if image is not None or cpu is not None:
            raise UsageError("--worker-image and --worker-cpu belong to --workers", expected="--workers N")
        return None
    from mlk8s.spec.workers import SIZE, Workers

    if cpu is None:
        return Workers(count=count, image=image)
    return Workers(count=count, image=image, resources=SIZE.replace(cpu=cpu, cpu_limit=None))
