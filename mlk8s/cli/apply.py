"""`mlk8s apply` and `mlk8s diff`: plain manifests, and what would change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, DryRun, Form, Kubeconfig, Namespace, Output
from mlk8s.cli.output import counted, say, show
from mlk8s.cli.target import open_cluster, open_namespace
from mlk8s.errors import Mlk8sError, UsageError

if TYPE_CHECKING:
    from mlk8s.assess.difference import Difference
    from mlk8s.operations.connection import Kubernetes
    from mlk8s.spec.base import Spec

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--filename", "-f", metavar="PATH", help="File, folder, or - for standard input; may be repeated."
    ),
]
_TROUBLE = 2


def apply(
    file: Files = None,
    dry_run: Annotated[
        DryRun, typer.Option("--dry-run", metavar="none|server", help="`server` checks and keeps nothing.")
    ] = DryRun.NONE,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Manage objects and fields from here that are somebody else's."),
    ] = False,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Apply plain manifests in order, many at once; objects of others are refused.

    Specs of mlk8s are applied with `mlk8s deploy -f`.
    """
    from dataclasses import asdict

    from mlk8s.operations.bulk import apply_manifests

    if dry_run is DryRun.CLIENT:
        raise UsageError(
            "--dry-run=client shows the file as it is", expected="--dry-run=server, or `mlk8s lint`"
        )
    bodies = _read(file)
    k8s = open_cluster(context, namespace, kubeconfig)
    with leaves("what was applied stays; the same command again goes on"):
        done = apply_manifests(
            k8s.cluster, bodies, dry_run=dry_run is DryRun.SERVER, take_over=take_over, say=say
        )
    say(f"{counted(len(done), 'object')}, {counted(k8s.cluster.transport.sent, 'request')}")
    note = " (server dry run)" if dry_run is DryRun.SERVER else ""
    show(
        [asdict(item) for item in done],
        output,
        "\n".join(f"{item.object} {item.change}{note}" for item in done),
    )


def _read(files: list[str] | None) -> list[dict[str, object]]:
    from mlk8s.cli.manifests import read_manifests

    if not files:
        raise UsageError("no manifests are named", expected="-f PATH, or -f - for standard input")
    found = read_manifests(files)
    if found.notes:
        say("\n".join(f"note: {note}" for note in found.notes))
    if not found.sources:
        raise UsageError(
            "there is nothing to apply", expected="Kubernetes manifests; specs go to `mlk8s deploy -f`"
        )
    return found.bodies


def diff(
    name: Annotated[
        str | None,
        typer.Argument(metavar="SERVICE", help="A model service: what its next deploy would set back."),
    ] = None,
    file: Files = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> int:
    """Show what an apply or deploy would change, by a server-side dry run; values of Secrets are masked.

    Exit code 0 where nothing differs, 1 where something does, above 1 where it cannot be said.
    """
    from dataclasses import asdict

    if (name is None) == (not file):
        raise UsageError("nothing, or two things, are to be compared", expected="a model service, or -f PATH")
    try:
        wanted = [_specs_or_manifests(item) for item in file or []]
        k8s = open_namespace(context, namespace, kubeconfig)
        found = _differences(k8s, name, wanted)
    except Mlk8sError as error:
        if error.exit_code != 1:
            raise
        raise _Trouble(error) from None  # 1 means that there are differences
    if found or output is not Form.TABLE:
        show([asdict(item) for item in found], output, "\n".join(item.text for item in found))
    for item in found:
        say(f"{item.object}: {item.change}")
    if not found:
        say("no differences")
    return 1 if found else 0


class Contents(NamedTuple):
    """What a file holds: specs of mlk8s, or manifests."""

    specs: list[Spec]
    bodies: list[dict[str, object]]


class _Trouble(Mlk8sError):
    """An error whose own exit code would read as `there are differences`."""

    exit_code = _TROUBLE

    def __init__(self, error: Mlk8sError) -> None:
        super().__init__(error.what, where=error.where, expected=error.expected, next_step=error.next_step)


def _differences(k8s: Kubernetes, name: str | None, wanted: list[Contents]) -> list[Difference]:
    from mlk8s.operations.diff import diff_manifests, diff_service, diff_specs

    if name is not None:
        return diff_service(k8s.cluster, k8s.platform, name, say=say)
    found = []
    for specs, bodies in wanted:
        found += diff_specs(k8s.cluster, k8s.platform, specs, say=say) if specs else []
        found += diff_manifests(k8s.cluster, bodies) if bodies else []
    return found


def _specs_or_manifests(file: str) -> Contents:
    """Return what a file holds; standard input can be read once only and holds manifests."""
    from mlk8s.cli.documents import read_specs

    path = Path(file)
    specs = file != "-" and path.is_file() and "apiVersion: mlk8s.dev/" in path.read_text(errors="replace")
    return Contents(read_specs(file), []) if specs else Contents([], _read([file]))


def register(app: typer.Typer) -> None:
    """Add `apply` and `diff`."""
    for function in (apply, diff):
        app.command(function.__name__, rich_help_panel="Manifests")(function)
