"""`mlk8s bluegreen`: the two colours of a model service with strategy BlueGreen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli import bluegreen_run
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, seconds
from mlk8s.cli.output import say, show
from mlk8s.cli.services import Name
from mlk8s.cli.target import open_namespace

if TYPE_CHECKING:
    from mlk8s.assess.bluegreen import BlueGreenStatus


def status(
    name: Name,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show which colour has the requests, what the other one is, and what may be done now."""
    k8s = open_namespace(context, namespace, kubeconfig)
    _show(k8s.service(name).colours().status(), output)


def switch(
    name: Name,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Give all requests to the colour that the last deploy brought."""
    longest = seconds(timeout, 120.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the same command again goes on; mlk8s bluegreen status {name} shows which colour is live"):
        _show(k8s.service(name).colours().switch(timeout=longest, say=say), output)


def back(
    name: Name,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Give all requests back to the colour that had them before the last switch."""
    longest = seconds(timeout, 120.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the same command again goes on; mlk8s bluegreen status {name} shows which colour is live"):
        _show(k8s.service(name).colours().back(timeout=longest, say=say), output)


def finish(
    name: Name,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not wait until the old colour was kept for its `retain` seconds."),
    ] = False,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Remove the idle colour: after a switch the old version, before one the new version."""
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"both colours may still be there; mlk8s bluegreen status {name} shows them"):
        _show(k8s.service(name).colours().finish(now=now, say=say), output)


def _show(status: BlueGreenStatus, output: Form) -> None:
    from dataclasses import asdict

    show(asdict(status), output, str(status))


def register(app: typer.Typer) -> None:
    """Add the commands of blue/green services."""
    group = typer.Typer(help="The two colours of a blue/green model service.", no_args_is_help=True)
    for function in (status, switch, back, finish):
        group.command(function.__name__)(function)
    bluegreen_run.register(group)
    app.add_typer(group, name="bluegreen", rich_help_panel="Model services")
