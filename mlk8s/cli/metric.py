"""`mlk8s metric`: numbers of one's own that autoscalers can follow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlk8s.cli.options import (
    Context,
    Form,
    Kubeconfig,
    Namespace,
    Output,
    Timeout,
    Wait,
    collect,
    seconds,
)
from mlk8s.cli.output import columns, say, show
from mlk8s.cli.target import open_cluster
from mlk8s.errors import UsageError

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As the metrics APIs call it, such as queue_length.")
]
_WAIT = 60.0


def add(
    name: Name,
    series: Annotated[str, typer.Option("--series", metavar="NAME", help="The series in Prometheus.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", metavar="pods|object|external", help="What it is a value of; `pods` by default."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="DURATION", help="For a counter: take its rate over this window."),
    ] = None,
    aggregate: Annotated[
        str | None,
        typer.Option("--aggregate", metavar="sum|avg|max|min", help="How several series become one number."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", help="Only series with it; may be repeated."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="Service|Ingress|Deployment", help="Kind that an object metric is of."),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let the platform's adapter serve a series of Prometheus, and wait until the metrics API lists it."""
    from mlk8s.spec.metric import Metric

    options: dict[str, Any] = collect(series=series, kind=kind, rate=rate, aggregate=aggregate, of=of)
    if label:
        options["labels"] = dict(_pair(item) for item in label)
    metric, patience = Metric(name=name, **options), seconds(timeout, _WAIT)
    k8s = open_cluster(context, namespace, kubeconfig)
    from mlk8s.operations.metrics import install_metric, wait_metric

    if not install_metric(k8s.cluster, metric, say=say):
        say(f"{name} unchanged")
    if wait:
        wait_metric(k8s.cluster, metric, timeout=patience)


def list_(
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the metrics of one's own that are declared in the cluster."""
    k8s = open_cluster(context, namespace, kubeconfig)
    found = k8s.metrics()
    if not found and output is Form.TABLE:
        say("no metrics of one's own; `mlk8s metric add NAME --series SERIES` declares one")
        return
    rows = [
        (item.name, item.kind if item.kind != "object" else item.of, item.series, _window(item.rate),
         item.aggregate, ",".join(f"{k}={v}" for k, v in sorted(item.labels.items())))
        for item in found
    ]  # fmt: skip
    data = [item.model_dump(mode="json") for item in found]
    show(data, output, columns(("NAME", "OF", "SERIES", "RATE", "AGGREGATE", "LABELS"), rows))


def remove(
    name: Name,
    wait: Wait = True,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take a metric of one's own away; autoscalers that follow it are named and keep their replicas."""
    patience = seconds(timeout, _WAIT)
    k8s = open_cluster(context, namespace, kubeconfig)
    from mlk8s.operations.metrics import remove_metric, wait_gone

    metric = remove_metric(k8s.cluster, name, say=say)
    if wait:
        wait_gone(k8s.cluster, metric, timeout=patience)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--label {text!r} is not KEY=VALUE")
    return key, value


def _window(value: float | None) -> str:
    return "-" if value is None else f"{value:g}s"


def register(app: typer.Typer) -> None:
    """Add `mlk8s metric`."""
    group = typer.Typer(no_args_is_help=True, help="Numbers of one's own that autoscalers follow.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("remove")(remove)
    app.add_typer(group, name="metric", rich_help_panel="Cluster")
