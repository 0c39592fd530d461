"""`mlk8s size`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.load import request
from mlk8s.cli.options import Body, CaCert, Context, Data, Form, Kubeconfig, Namespace, Output, seconds
from mlk8s.cli.output import facts, say, show
from mlk8s.cli.promise import P50, P90, P95, P99, Errors, promise
from mlk8s.cli.target import open_namespace
from mlk8s.errors import Conflict, UsageError

if TYPE_CHECKING:
    from mlk8s.operations.connection import Kubernetes
    from mlk8s.operations.sizing import Sizing

_SEARCH, _DEMAND, _COST = "Search", "Demand", "Cost"


def size(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")],
    data: Data = None,
    body: Body = None,
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    peak: Annotated[
        float | None,
        typer.Option(
            "--peak", metavar="RPS", rich_help_panel=_DEMAND,
            help="Most requests/s that the service has to bear: gives replicas.",
        ),
    ] = None,
    ramp: Annotated[
        str,
        typer.Option(
            "--ramp", metavar="DURATION", rich_help_panel=_DEMAND,
            help="Time in which the load may rise to the peak.",
        ),
    ] = "5m",
    headroom: Annotated[
        float,
        typer.Option(
            "--headroom", metavar="SHARE", rich_help_panel=_DEMAND,
            help="Share of a pod's rate that the autoscaler keeps free.",
        ),
    ] = 0.2,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="NAME", rich_help_panel=_DEMAND,
            help="requests_in_flight or requests_per_second; the service's own by default.",
        ),
    ] = None,
    pod_hour_price: Annotated[
        float | None,
        typer.Option(
            "--pod-hour-price", metavar="PRICE", rich_help_panel=_COST,
            help="Of a pod without its GPUs for an hour.",
        ),
    ] = None,
    gpu_hour_price: Annotated[
        float | None,
        typer.Option(
            "--gpu-hour-price", metavar="PRICE", rich_help_panel=_COST, help="Of one GPU for an hour."
        ),
    ] = None,
    within: Annotated[
        str,
        typer.Option(
            "--within", metavar="DURATION", rich_help_panel=_SEARCH, help="Time that all of it may take."
        ),
    ] = "5m",
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", rich_help_panel=_SEARCH,
            help="Send 0.9 and 1.2 times the answer in the end: the one has to hold, the other to break.",
        ),
    ] = True,
    confidence: Annotated[
        float,
        typer.Option("--confidence", metavar="SHARE", rich_help_panel=_SEARCH, help="Of the interval."),
    ] = 0.9,
    precision: Annotated[
        float,
        typer.Option(
            "--precision", metavar="SHARE", rich_help_panel=_SEARCH,
            help="Width of the interval at which the search is over, as a share of the rate.",
        ),
    ] = 0.15,
    apply: Annotated[
        bool, typer.Option("--apply", help="Deploy the service with what follows, and wait until it serves.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; ./runs/NAME-size-TIME by default."),
    ] = None,
    cacert: CaCert = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:  # fmt: skip
    """Find the most requests/s that one pod holds within a promise (--slo-...), and what to set for it.

    One pod of the service runs beside it as NAME-size, gets the load, and is removed. From what it holds come
    the autoscaler's target and bounds, stabilisation windows, requests, GPUs and cost. Exit code 1 says that
    not even the lowest rate holds.
    """
    from mlk8s.assess.capacity.plan import Demand

    if (data is None) == (body is None):
        raise UsageError("a size needs one request to repeat", expected="exactly one of --data and --body")
    slo = promise(p50=p50, p90=p90, p95=p95, p99=p99, errors=errors)
    if slo is None:
        raise UsageError(
            "a size needs a promise to hold", expected="one of --slo-p50, --slo-p90, --slo-p95, --slo-p99, "
            "--slo-errors", next_step=f"mlk8s size {name} --slo-p99 100ms ...",
        )  # fmt: skip
    demand = Demand(
        peak=peak, ramp=seconds(ramp, 300.0), headroom=headroom, metric=metric, pod_hour_price=pod_hour_price,
        gpu_hour_price=gpu_hour_price,
    )  # fmt: skip
    from mlk8s.operations.size import checked, size

    checked(slo, within, confidence, precision)
    sent = request(data, body)
    k8s = open_namespace(context, namespace, kubeconfig)
    service = k8s.service(name)
    if cacert is not None:
        service.trust(cacert)
    with leaves(f"no answer; {name} itself was not touched"):
        found = size(
            service, slo, demand=demand, within=within, check=check, confidence=confidence,
            precision=precision, directory=out,
            say=say, **sent,
        )  # fmt: skip
    _show(found, output)
    if apply and found.rate is not None:
        _apply(k8s, found)
    raise typer.Exit(found.exit_code)


def _apply(k8s: Kubernetes, found: Sizing) -> None:
    """Deploy what follows, unless the service has become another one meanwhile."""
    from mlk8s.operations.bluegreen_state import live_deployment
    from mlk8s.render.stored import stored_spec

    namespace = found.facts["namespace"]
    if stored_spec(live_deployment(k8s.cluster, found.name, namespace)) != found.measured_spec:
        raise Conflict(
            f"{found.name} was deployed anew while it was measured",
            where=f"namespace {namespace!r}",
            expected="the service that was measured; nothing was written",
            next_step=f"mlk8s deploy -f {found.directory}/service.yaml, if it is still what you want",
        )
    with leaves(f"the deploy goes on in the cluster; `mlk8s services` shows {found.name}"):
        k8s.deploy(found.spec, say=say)


def _show(found: Sizing, output: Form) -> None:
    plan = found.plan
    pairs: list[tuple[str, object]] = [
        ("rate", None if found.rate is None else f"{found.rate:.4g} requests/s")
    ]
    if found.interval is not None:
        pairs.append(("interval", f"{found.interval[0]:.4g} to {found.interval[1]:.4g} requests/s"))
    if plan is not None:
        words = {True: "0.9 × holds, 1.2 × breaks", False: "not as it should be: see above", None: None}
        pairs += [("check", words[found.confirmed]), ("target", f"{plan.metric} {plan.target:g}")]
        if plan.replicas is not None:
            pairs.append(("replicas", f"min {plan.replicas.min}, max {plan.replicas.max}"))
        pairs.append(("stabilisation", f"up {plan.scale_up:g} s, down {plan.scale_down:g} s"))
        if plan.resources is not None:
            pairs.append(("requests", f"cpu {plan.resources.cpu}, memory {plan.resources.memory}"))
            limit, memory = plan.resources.cpu_limit, plan.resources.memory_limit or plan.resources.memory
            pairs.append(("limits", f"cpu {limit or 'none'}, memory {memory}"))
        pairs += [("GPUs", plan.gpus), ("cost", plan.cost and f"{plan.cost:.3g} per million requests")]
    if found.misfit is None:
        pairs.append(("apply", f"mlk8s deploy -f {found.directory}/service.yaml"))
        namespace = found.facts["namespace"]
        pairs += [
            (
                "or",
                f"kubectl patch {patch['kind'].lower()} {patch['name']} -n {namespace} "
                f"--type {patch['type']} --patch-file {found.patch_file(patch)}",
            )
            for patch in found.patches
        ]
    pairs.append(("results", found.directory))
    show(found.as_dict(), output, "\n".join([*found.sentences, "", facts(pairs)]))


def register(app: typer.Typer) -> None:
    """Add `mlk8s size`."""
    app.command("size", rich_help_panel="Load tests")(size)
