"""`mlk8s demo`: the quickstart notebook, run on the connected cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.output import facts, say
from mlk8s.errors import UsageError

NAME = "quickstart.ipynb"


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results go.")] = Path(
        "demo-output"
    ),
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Parameter of the notebook, JSON or text; may be repeated.",
        ),
    ] = None,
    notebook: Annotated[
        Path | None,
        typer.Option("--notebook", metavar="FILE", help="Another notebook; the quickstart by default."),
    ] = None,
) -> None:
    """Run the quickstart notebook from top to bottom on the cluster that `mlk8s` finds.

    Prints the paths of the report and of the executed notebook, and the URL under which the model answers.
    MLK8S_CLUSTER names a local cluster where there are several.
    """
    from mlk8s.operations.notebook import run_notebook

    source = notebook or Path(__file__).parents[2] / "notebooks" / NAME
    folder = out.absolute()
    parameters = {"out": str(folder)} | dict(_parameter(item) for item in parameter or [])
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / source.name
    with leaves(f"what was deployed goes on in the cluster; {executed} shows how far it got"):
        words = run_notebook(source.absolute(), executed, parameters, say=say)
    print(words.rstrip() + "\n" + facts([("notebook", executed)]))


def _parameter(text: str) -> tuple[str, Any]:
    import json

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--parameter {text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def register(app: typer.Typer) -> None:
    """Add `mlk8s demo`."""
    app.command("demo", rich_help_panel="Local cluster")(demo)
