"""`mlk8s secret create`: values from files, standard input or a hidden prompt, never as arguments."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlk8s.cli.keys import FromEnvFile, FromFile, add, collect
from mlk8s.cli.options import Context, Kubeconfig, Namespace
from mlk8s.cli.output import say
from mlk8s.cli.target import open_namespace
from mlk8s.errors import UsageError


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Secret.")],
    from_file: FromFile = None,
    from_env_file: FromEnvFile = None,
    from_stdin: Annotated[
        str | None,
        typer.Option(
            "--from-stdin",
            metavar="KEY",
            help="Standard input without its last newline; on a terminal a hidden prompt.",
        ),
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a Secret, or replace one that mlk8s made; no value is printed, or taken from the command line."""
    data = collect(from_file, from_env_file)
    if from_stdin is not None:
        add(data, [(from_stdin, _standard_input(from_stdin))])
    if not data:
        raise UsageError(
            "no value is given", expected="--from-file [KEY=]FILE, --from-env-file FILE or --from-stdin KEY"
        )
    k8s = open_namespace(context, namespace, kubeconfig)
    k8s.create_secret(name, data, say=say)


def _standard_input(key: str) -> bytes:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"{key}: ").encode()
    value = sys.stdin.buffer.read().removesuffix(b"\n")
    if not value:
        raise UsageError(
            "nothing came from standard input", where="--from-stdin", expected="the value of the key"
        )
    return value


def register(app: typer.Typer) -> None:
    """Add the commands of Secrets."""
    secret = typer.Typer(no_args_is_help=True, help="Secrets that services refer to.")
    secret.command("create")(create)
    app.add_typer(secret, name="secret", rich_help_panel="Model services")
