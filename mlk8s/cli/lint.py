"""`mlk8s lint`: manifests, or objects of a cluster, against the rules of docs/lint.md."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlk8s.cli.options import Context, Kubeconfig, Namespace
from mlk8s.errors import UsageError


class Findings(StrEnum):
    """How findings are printed; `sarif` is version 2.1.0."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"


def lint(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|KIND/NAME...",
            help="Files, folders, - for standard input; or objects of the cluster.",
        ),
    ],
    output: Annotated[
        Findings,
        typer.Option("--output", "-o", metavar="table|json|sarif", help="How to print the findings."),
    ] = Findings.TABLE,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Correct in the files what has one right answer; comments and layout stay."
        ),
    ] = False,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Nothing else is in the cluster: every name must be among the manifests."
        ),
    ] = False,
    server: Annotated[
        bool, typer.Option("--server", help="Let the API server check each manifest, too; it keeps nothing.")
    ] = False,
    kubernetes_version: Annotated[
        str,
        typer.Option(
            "--kubernetes-version", metavar="1.N", help="Whose fields are right; `none` checks no fields."
        ),
    ] = "newest",
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Waivers; .mlk8s-lint.yaml in this folder by default."),
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Say what is wrong with manifests before the cluster does; exit code 1 where anything is."""
    from mlk8s.cli.linting import Record, findings, present, read_waivers
    from mlk8s.cli.manifests import Manifests, read_manifests

    paths = [item for item in what if item == "-" or Path(item).exists()]
    objects = [item for item in what if item not in paths]
    strange = [
        item
        for item in objects
        if item.count("/") != 1 or item.startswith(("/", ".")) or item.endswith(("/", ".yaml", ".yml"))
    ]
    if strange:
        raise UsageError(
            f"there is no file {strange[0]!r}", expected="a path, - or KIND/NAME, such as deployment/iris"
        )
    if fix and (objects or "-" in paths):
        raise UsageError("--fix changes files", expected="paths of files and folders")
    waivers = read_waivers(config)  # a file that is not there is told before any cluster
    records: list[Record] = []
    notes: list[str] = []
    manifests = Manifests([], [])
    if paths:
        if fix:
            from mlk8s.cli.fixes import fix_files

            notes += fix_files(paths)
        manifests = read_manifests(paths)
        records, more = findings(manifests, whole=whole, config=config, schemas=kubernetes_version)
        notes += [*manifests.notes, *more]
    if objects or server:
        from mlk8s.cli.linting import record
        from mlk8s.cli.target import open_cluster
        from mlk8s.operations.lint import kind_of, lint_object, server_findings

        k8s = open_cluster(context, namespace, kubeconfig)
        if server:
            records += [
                record(item, manifests.sources) for item in server_findings(k8s.cluster, manifests.bodies)
            ]
        for item in objects:
            kind, _, name = item.partition("/")
            found = lint_object(k8s.cluster, kind_of(kind), name, waivers=waivers)
            records += [record(finding, ()) for finding in found]
    return present(records, output.value, len(manifests.sources) + len(objects), notes)


def register(app: typer.Typer) -> None:
    """Add `lint`."""
    app.command("lint", rich_help_panel="Manifests")(lint)
