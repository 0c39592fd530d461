"""`mlk8s export`: specs as manifests for kubectl and Helm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlk8s.cli.output import say
from mlk8s.errors import UsageError


def export(
    file: Annotated[
        str,
        typer.Option(
            "--filename", "-f", metavar="FILE", help="YAML documents: the specs and one of kind Export."
        ),
    ] = "manifests/mlk8s.yaml",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Target folder; the file's own by default.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; print what differs, and exit with 1 if anything does."),
    ] = False,
) -> None:
    """Write specs as a kustomize base with overlays, a canary and a Helm chart; no cluster is asked."""
    from mlk8s.cli.documents import read_specs
    from mlk8s.operations.export import drift, exported, write
    from mlk8s.spec.export import Export

    read = read_specs(file, also=(Export,))
    exports = [spec for spec in read if isinstance(spec, Export)]
    if len(exports) != 1:
        raise UsageError(f"the file has {len(exports)} documents of kind Export", where=file, expected="one")
    files = exported(exports[0], [spec for spec in read if not isinstance(spec, Export)])
    folder = out or (Path(file).parent if file != "-" else Path())
    try:
        if not check:
            changed = write(files, folder)
            say(f"{len(files)} files in {folder}, {len(changed)} of them new or changed")
            return
        difference = drift(files, folder)
    except OSError as error:
        raise UsageError(f"the folder cannot be used: {error.strerror}", where=str(folder)) from None
    if difference:
        print(difference, end="")
        say(f"{folder} is not what {file} renders; mlk8s export -f {file} writes it anew")
        raise typer.Exit(1)
    say(f"{len(files)} files in {folder} are what {file} renders")


def register(app: typer.Typer) -> None:
    """Add `mlk8s export`."""
    app.command("export", rich_help_panel="Manifests")(export)
