"""`mlk8s canary`: a second version beside the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli import canary_rehearse, canary_run, shadow
from mlk8s.cli.canary_run import Cookie, Name
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, seconds
from mlk8s.cli.output import say, show
from mlk8s.cli.target import open_namespace

if TYPE_CHECKING:
    from mlk8s.assess.canary import CanaryStatus


def start(
    name: Name,
    model: Annotated[str, typer.Option("--model", metavar="URL", help="The new version; as deploy --model.")],
    weight: Annotated[
        int, typer.Option("--weight", metavar="PERCENT", help="Share of the requests, 0 to 100.")
    ] = 10,
    header: Annotated[
        str | None,
        typer.Option(
            "--header", metavar="NAME", help="Request header; `always` leads to the canary, `never` away."
        ),
    ] = None,
    cookie: Cookie = None,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help="Pods of the canary.")] = 1,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start a new model version beside a service's own and send it part of the requests.

    Exit code 3 says that it never became ready and was removed; its weight was 0 all the time.
    """
    from mlk8s.operations import canary
    from mlk8s.spec.canary import Canary

    spec = Canary(model=model, weight=weight, header=header, cookie=cookie, replicas=replicas)
    wait = seconds(timeout, 120.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    service = k8s.service(name)
    with leaves(
        f"the canary of {name} is half started; run the same command again, or mlk8s canary rollback {name}"
    ):
        _show(canary.start(service, spec, timeout=wait, say=say), output)


def status(
    name: Name,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show a service's canary as the cluster has it now, and what may be done next."""
    k8s = open_namespace(context, namespace, kubeconfig)
    _show(k8s.service(name).running_canary().status(), output)


def weight(
    name: Name,
    percent: Annotated[int, typer.Argument(metavar="PERCENT", help="Share of the requests, 0 to 100.")],
    force: Annotated[
        bool, typer.Option("--force", help="Take over a weight that somebody else set.")
    ] = False,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Change a canary's share of the requests, and look whether the controller follows."""
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the weight may be set; mlk8s canary status {name} tells"):
        _show(k8s.service(name).running_canary().weight(percent, force=force, say=say), output)


def promote(
    name: Name,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make the canary's version the service's version, then remove the canary; no request is lost."""
    wait = seconds(timeout, 180.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(f"the promotion is half done; run the same command again, or mlk8s canary rollback {name}"):
        k8s.service(name).running_canary().promote(timeout=wait, say=say)


def rollback(
    name: Name,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take the canary's requests away, then remove it; the service is what it was before."""
    wait = seconds(timeout, 120.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves("the rollback is half done; run the same command again to finish it"):
        k8s.service(name).running_canary().rollback(timeout=wait, say=say)


def _show(found: CanaryStatus, output: Form) -> None:
    from dataclasses import asdict

    show(asdict(found), output, str(found))


def register(app: typer.Typer) -> None:
    """Add `mlk8s canary ...`."""
    group = typer.Typer(
        help="A new model version beside a service's own, with part of its requests.", no_args_is_help=True
    )
    for function in (start, status, weight, promote, rollback):
        group.command(function.__name__)(function)
    canary_run.register(group)
    canary_rehearse.register(group)
    shadow.register(group)
    app.add_typer(group, name="canary", rich_help_panel="Model services")
