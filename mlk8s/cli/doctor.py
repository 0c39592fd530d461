"""`mlk8s doctor`: what a cluster can do, and what it lacks."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output
from mlk8s.cli.output import coloured, say, show
from mlk8s.cli.target import open_cluster

if TYPE_CHECKING:
    from mlk8s.assess.doctor import Finding

_COLOURS = {"ok": "32", "warn": "33", "fail": "1;31", "unknown": "36"}


def doctor(
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Try NetworkPolicy with two short-lived pods in a temporary namespace."),
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(
            "--probe-image", metavar="IMAGE", help="Image with python3 for them; the platform's by default."
        ),
    ] = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check any cluster: what was found, and what to do about it.

    Exit code 1 says that something stands in the way of a deploy, 5 that the cluster cannot be reached.
    """
    from dataclasses import asdict

    from mlk8s.assess.doctor import failed
    from mlk8s.operations.doctor import doctor as look

    k8s = open_cluster(context, namespace, kubeconfig)
    findings = look(k8s.cluster, k8s.platform, probe=probe, image=image, say=say)
    show([asdict(item) for item in findings], output, table(findings))
    if failed(findings):
        raise typer.Exit(1)


def table(findings: list[Finding], width: int | None = None) -> str:
    """Return the findings as text; on a terminal it is coloured and folded to its width.

    Args:
        width: columns to fold to; None means the terminal's, and no folding elsewhere.
    """
    terminal = sys.stdout.isatty()
    if width is None:
        width = shutil.get_terminal_size().columns if terminal else 100_000
    head = max(len(item.check) for item in findings)
    indent = " " * (9 + head + 1)
    lines = []
    for item in findings:
        text = item.found + (f"\n→ {item.do}" if item.do else "")
        folded = [
            line
            for part in text.splitlines()
            for line in textwrap.wrap(
                part, max(20, width - len(indent)), break_long_words=False, break_on_hyphens=False
            )
            or [""]
        ]
        word = f"{item.status:<8}"
        shown = f"\033[{_COLOURS[item.status]}m{word}\033[0m" if coloured(sys.stdout) else word
        lines.append(f"{shown} {item.check:<{head}} {folded[0]}")
        lines += [indent + line for line in folded[1:]]
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add `mlk8s doctor`."""
    app.command("doctor", rich_help_panel="Local cluster")(doctor)
