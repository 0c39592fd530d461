"""Options that several commands share, under kubectl's names."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

_CLUSTER = "Cluster"


class Form(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class DryRun(StrEnum):
    """`client` renders and sends nothing; `server` lets the API server check without keeping."""

    NONE = "none"
    CLIENT = "client"
    SERVER = "server"


Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.", rich_help_panel=_CLUSTER),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", metavar="NAME", help="Namespace; the context's own by default.",
        rich_help_panel=_CLUSTER,
    ),
]  # fmt: skip
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig", metavar="FILE", rich_help_panel=_CLUSTER,
        help="By default $KUBECONFIG, ~/.kube/config, the pod's service account, or the local cluster.",
    ),
]  # fmt: skip
Output = Annotated[
    Form, typer.Option("--output", "-o", metavar="table|json|yaml", help="How to print the result.")
]
CaCert = Annotated[
    Path | None,
    typer.Option(
        "--cacert", metavar="FILE", exists=True, help="PEM file of the authority to trust, for TLS."
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="How long to wait, such as 90s or 5m."),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask no question.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", metavar="JSON|@FILE|-", help="Inputs of one request: rows, or arrays by input name."
    ),
]
Body = Annotated[
    str | None,
    typer.Option(
        "--body", metavar="@FILE", help="One request as it is sent: the JSON of a V2 infer request."
    ),
]
ClusterName = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the local cluster.")]


def collect(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value not in (None, [])}


def seconds(value: str | None, default: float) -> float:
    """Return a duration option in seconds.

    Raises:
        UsageError: not a duration.
    """
    from mlk8s.errors import UsageError
    from mlk8s.spec.fields import parse_duration

    if value is None:
        return default
    try:
        # kubectl's --timeout takes a bare number as seconds, too
        return parse_duration(float(value) if value.replace(".", "", 1).isdigit() else value)
    except ValueError as error:
        raise UsageError(str(error), where=f"duration {value!r}") from None
