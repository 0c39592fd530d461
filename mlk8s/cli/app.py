"""The commands, put together; every command's own imports wait until it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlk8s import __version__
from mlk8s.cli import (
    alerts,
    apply,
    bluegreen,
    canary,
    config,
    demo,
    doctor,
    export,
    image,
    inspect,
    lint,
    load,
    local,
    metric,
    pipelines,
    rollout,
    search_logs,
    secret,
    services,
    size,
    tenant,
    tls,
    why,
)
from mlk8s.cli.interrupt import ReaderGone


class Commands(TyperGroup):
    """Passes on what typer would swallow: which state a Ctrl-C left, and that a pipe was closed."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort(str(error)) from None
        except BrokenPipeError:
            raise ReaderGone from None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mlk8s {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a model in a notebook to a service on Kubernetes that scales and can be trusted."""


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for part in (
        local,
        doctor,
        services,
        secret,
        config,
        tenant,
        tls,
        alerts,
        rollout,
        canary,
        bluegreen,
        inspect,
        search_logs,
        metric,
        image,
        export,
        pipelines,
        load,
        size,
        demo,
        why,
        lint,
        apply,
    ):
        part.register(app)
    return app


def command() -> Any:
    """Return the command line as one command with a `main` method."""
    return typer.main.get_command(build())
