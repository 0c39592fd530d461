"""`mlk8s alerts` and `mlk8s dashboard`: a service, watched."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.options import Context, Kubeconfig, Namespace, Timeout, seconds
from mlk8s.cli.output import say
from mlk8s.cli.promise import P50, P90, P95, P99, Errors, promise
from mlk8s.cli.target import open_namespace
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.spec.load import Slo

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")]


class Rules(StrEnum):
    """`prometheus` is a rule file, `operator` a PrometheusRule of the Prometheus operator."""

    PROMETHEUS = "prometheus"
    OPERATOR = "operator"


def alerts(
    name: Name,
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    form: Annotated[
        Rules | None,
        typer.Option(
            "--show", metavar="prometheus|operator", help="Print the rules as YAML and install nothing."
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the service's rules away.")] = False,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have Prometheus watch what a service promises: error budgets, full pods, pods that are gone."""
    slo = None if remove else _promised(p50=p50, p90=p90, p95=p95, p99=p99, errors=errors)
    wait = seconds(timeout, 60.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    from mlk8s.operations import alerts as operation
    from mlk8s.render.alerts import prometheus_rule, rule_file
    from mlk8s.render.bundle import to_text

    if slo is None:
        if not operation.remove(k8s.cluster, k8s.platform, name, k8s.namespace, say=say):
            say(f"{name}: Prometheus had no rules of it")
        return
    spec = operation.alerts_of(k8s.cluster, name, k8s.namespace, slo)
    if form is None:
        operation.install(k8s.cluster, k8s.platform, spec, timeout=wait, say=say)
        return
    print(to_text((rule_file if form is Rules.PROMETHEUS else prometheus_rule)(spec, k8s.namespace)), end="")


def dashboard(
    name: Name,
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print a Grafana dashboard of a service as JSON, ready to import."""
    import json

    slo = _promised(p50=p50, p90=p90, p95=p95, p99=p99, errors=errors)
    k8s = open_namespace(context, namespace, kubeconfig)
    from mlk8s.operations.alerts import alerts_of
    from mlk8s.render.dashboard import dashboard as render

    spec = alerts_of(k8s.cluster, name, k8s.namespace, slo)
    print(json.dumps(render(spec, k8s.namespace), indent=1))


def _promised(**bounds: str | float | None) -> Slo:
    slo = promise(**bounds)
    if slo is None:
        raise UsageError(
            "there is no promise to watch", expected="at least one of --slo-errors, --slo-p99, --slo-p95, ..."
        )
    return slo


def register(app: typer.Typer) -> None:
    """Add the commands that watch a service."""
    for function in (alerts, dashboard):
        app.command(function.__name__, rich_help_panel="Model services")(function)
