"""Values by key from the command line, as kubectl takes them for ConfigMaps and Secrets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.files import read_bytes, read_utf8
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.operations.values import Value

FromFile = Annotated[
    list[str] | None,
    typer.Option("--from-file", metavar="[KEY=]FILE", help="A file's bytes; may be repeated."),
]
FromEnvFile = Annotated[str | None, typer.Option("--from-env-file", metavar="FILE", help="Lines KEY=VALUE.")]


def collect(from_file: list[str] | None, from_env_file: str | None) -> dict[str, Value]:
    """Return what the two options bring.

    Raises:
        UsageError: a key twice, no such file, or a line that is not KEY=VALUE.
    """
    data: dict[str, Value] = {}
    for item in from_file or []:
        key, equals, path = item.partition("=")
        add(data, [(key if equals else Path(item).name, read_bytes(path if equals else item))])
    if from_env_file is not None:
        add(data, _env_file(Path(from_env_file)))
    return data


def add(data: dict[str, Value], pairs: Iterable[tuple[str, Value]]) -> None:
    """Add keys to those that are there.

    Raises:
        UsageError: one is there already.
    """
    for key, value in pairs:
        if key in data:
            raise UsageError(f"key {key!r} is given twice", expected="each key once")
        data[key] = value


def _env_file(path: Path) -> list[tuple[str, Value]]:
    """Return the pairs of a file of KEY=VALUE lines; empty lines and those that begin with # are left out."""
    pairs: list[tuple[str, Value]] = []
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            # The line is not part of the message: it may be the value itself.
            raise UsageError("the line is not KEY=VALUE", where=f"{path}:{number}")
        pairs.append((key.strip(), value))
    return pairs
