"""`mlk8s rollout`: the revisions of a model service, in kubectl's words."""

from __future__ import annotations

from typing import Annotated

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, Wait, seconds
from mlk8s.cli.output import columns, say, show
from mlk8s.cli.services import Name, undo
from mlk8s.cli.target import open_namespace


def history(
    name: Name,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the revisions that a service can go back to, oldest first."""
    from dataclasses import asdict

    k8s = open_namespace(context, namespace, kubeconfig)
    found = k8s.service(name).history()
    head = ("REVISION", "MODEL", "READY", "CURRENT", "CREATED", "CHANGE-CAUSE")
    rows = [
        (item.number, item.model, item.ready, "*" if item.current else "", item.created, item.cause)
        for item in found
    ]
    show([asdict(item) for item in found], output, columns(head, rows))


def pause(
    name: Name, context: Context = None, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Stop a rollout where it is; a deploy is refused until it is resumed."""
    k8s = open_namespace(context, namespace, kubeconfig)
    k8s.service(name).pause(say=say)


def resume(
    name: Name,
    wait: Wait = True,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a paused rollout go on, and wait until it is done."""
    longest = seconds(timeout, 180.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the rollout goes on in the cluster; mlk8s rollout status {name} waits for it"):
        k8s.service(name).resume(wait=wait, timeout=longest, say=say)


def restart(
    name: Name,
    wait: Wait = True,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Replace every pod by a new one of the same version."""
    longest = seconds(timeout, 180.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the restart goes on in the cluster; mlk8s rollout status {name} waits for it"):
        k8s.service(name).restart(wait=wait, timeout=longest, say=say)


def status(
    name: Name,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", "-w", help="Wait until the rollout is done.")
    ] = True,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Tell how far a rollout is; exit code 1 when it has failed, with the cause."""
    from mlk8s.operations import rollout

    longest = seconds(timeout, 180.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    place = k8s.service(name).namespace
    verdict = rollout.status(k8s.cluster, name, place, wait=watch, timeout=longest, say=say)
    told = f"{name}: {verdict.state}: {verdict.summary}"
    print(f"{told}: {verdict.cause.message}" if verdict.cause else told)
    if verdict.state == "failed":
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of rollouts."""
    group = typer.Typer(help="Revisions of a model service, in kubectl's words.", no_args_is_help=True)
    for function in (history, undo, pause, resume, restart, status):
        group.command(function.__name__)(function)
    app.add_typer(group, name="rollout", rich_help_panel="Model services")
