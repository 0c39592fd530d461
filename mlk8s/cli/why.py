"""`mlk8s why`: the cause and the remedy, one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output
from mlk8s.cli.output import show
from mlk8s.cli.target import open_namespace

if TYPE_CHECKING:
    from mlk8s.assess.why.facts import Diagnosis


def why(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT",
            help="A service's name, KIND/NAME (pod/x, job/x, hpa/x, pvc/x, ...), or . for everything.",
        ),
    ],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also print the facts that show the cause.")
    ] = False,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say why an object does not do what it is there for: one sentence of cause and one of remedy.

    Exit code 0 says that nothing is wrong, 1 that a cause was found.
    """
    from mlk8s.operations.why import parse

    if wanted != ".":
        parse(wanted)  # a wrong kind is told before anything is asked
    k8s = open_namespace(context, namespace, kubeconfig)
    found = k8s.why_all() if wanted == "." else [k8s.why(wanted)]
    broken = [item for item in found if item.cause is not None]
    if wanted == ".":
        data: Any = [record(item) for item in found]
        lines = [text(item, verbose) for item in broken]
        starting = sum(item.state == "starting" for item in found)
        more = f", {starting} of them still starting" if starting else ""
        shown = (
            "\n".join(lines) or f"nothing is wrong in namespace {k8s.namespace}: {len(found)} objects{more}"
        )
    else:
        data, shown = record(found[0]), text(found[0], verbose)
    show(data, output, shown)
    if broken:
        raise typer.Exit(1)


def text(item: Diagnosis, verbose: bool) -> str:
    """Return a diagnosis for people: the sentence, the remedy, and on request the evidence."""
    lines = [str(item)]
    if verbose and item.cause is not None:
        lines.append(f"  cause:  {item.cause.id}, at {item.cause.where}")
        lines += [f"  shown:  {line}" for line in item.evidence]
    return "\n".join(lines)


def record(item: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis for machines."""
    cause = item.cause
    return {
        "object": item.object,
        "state": item.state,
        "cause": item.id,
        "message": item.summary,
        "remedy": item.remedy,
        "where": cause.where if cause else None,
        "certain": cause.certain if cause else True,
        "evidence": list(item.evidence),
        "seconds": round(item.seconds, 3),
    }


def register(app: typer.Typer) -> None:
    """Add `mlk8s why`."""
    app.command("why", rich_help_panel="Model services")(why)
