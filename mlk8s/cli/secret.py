"""`mlk8s secret create`: values from files, standard input or a hidden prompt, never as arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.files import read_bytes, read_utf8
from mlk8s.cli.options import Context, Kubeconfig, Namespace
from mlk8s.cli.output import say
from mlk8s.cli.target import open_namespace
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.operations.secrets import Value


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Secret.")],
    from_file: Annotated[
        list[str] | None,
        typer.Option("--from-file", metavar="[KEY=]FILE", help="A file's bytes; may be repeated."),
    ] = None,
    from_env_file: Annotated[
        str | None, typer.Option("--from-env-file", metavar="FILE", help="Lines KEY=VALUE.")
    ] = None,
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
    data: dict[str, Value] = {}
    for item in from_file or []:
        key, equals, path = item.partition("=")
        _add(data, key if equals else Path(item).name, read_bytes(path if equals else item))
    if from_env_file is not None:
        for key, value in _env_file(Path(from_env_file)):
            _add(data, key, value)
    if from_stdin is not None:
        _add(data, from_stdin, _standard_input(from_stdin))
    if not data:
        raise UsageError(
            "no value is given", expected="--from-file [KEY=]FILE, --from-env-file FILE or --from-stdin KEY"
        )
    k8s = open_namespace(context, namespace, kubeconfig)
    k8s.create_secret(name, data, say=say)


def _add(data: dict[str, Value], key: str, value: Value) -> None:
    if key in data:
        raise UsageError(f"key {key!r} is given twice", expected="each key once")
    data[key] = value


def _env_file(path: Path) -> list[tuple[str, str]]:
    """Return the pairs of a file of KEY=VALUE lines; empty lines and those that begin with # are left out."""
    pairs = []
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            # The line is not part of the message: it may be the value itself.
            raise UsageError("the line is not KEY=VALUE", where=f"{path}:{number}")
        pairs.append((key.strip(), value))
    return pairs


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
