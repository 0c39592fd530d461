"""`mlk8s bluegreen run | watch | abort`: two colours, and evidence before the switch and after it."""

from __future__ import annotations

from typing import Annotated

import typer

from mlk8s.cli.analysis_options import (
    Alpha,
    AtDeadline,
    Bake,
    Beta,
    BlockLength,
    Deadline,
    Failures,
    MaxHarmed,
    analysis_of,
)
from mlk8s.cli.canary_run import Blind, Directory, MetricsPort, Webhook, end_with, left, rollout_options
from mlk8s.cli.canary_view import open_view
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, seconds
from mlk8s.cli.output import say
from mlk8s.cli.promise import P50, P90, P95, P99, Errors
from mlk8s.cli.services import Name
from mlk8s.cli.target import open_namespace


def run(
    name: Name,
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="JSON|@FILE|-",
            help="Inputs that are predicted on the new colour meanwhile; without, others have to ask it.",
        ),
    ] = None,
    rps: Annotated[
        float, typer.Option("--rps", metavar="N", help="How often, at most 50 times a second.")
    ] = 20.0,
    max_harmed: MaxHarmed = None,
    alpha: Alpha = None,
    beta: Beta = None,
    failures: Failures = None,
    block: BlockLength = None,
    bake: Bake = None,
    deadline: Deadline = None,
    at_deadline: AtDeadline = None,
    blind: Blind = None,
    webhook: Webhook = None,
    metrics_port: MetricsPort = None,
    directory: Directory = None,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:  # fmt: skip
    """Judge the colour that the last deploy brought, switch to it, judge it again, go back if it is bad.

    Before the switch it gets only requests with the header `X-Mlk8s-Preview: always`. Exit code 0: promoted.
    3: rolled back. 1: time was up without enough evidence, or it failed. The same command goes on again.
    """
    from mlk8s.cli.data import read_inputs

    analysis = analysis_of(
        {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "errors": errors},
        failures=failures, at_deadline=at_deadline, max_harmed=max_harmed, alpha=alpha, beta=beta,
        block=block, bake=bake, deadline=deadline,
    )  # fmt: skip
    options = rollout_options(webhook, metrics_port, directory, blind, timeout)
    inputs = read_inputs(data) if data is not None else None
    k8s = open_namespace(context, namespace, kubeconfig)
    colours = k8s.service(name).colours()
    with leaves(left(k8s, name)):
        result = colours.run(analysis, inputs=inputs, rps=rps, view=open_view(say), **options)
    end_with(result, output)


def watch(
    name: Name, context: Context = None, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Show a rollout that any process works on, block by block, until it ends; Ctrl-C ends only this."""
    colours = open_namespace(context, namespace, kubeconfig).service(name).colours()
    with leaves("the rollout goes on"):
        print(colours.watch(view=open_view(say), say=say))


def abort(
    name: Name,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Give all requests to the older colour; the process that works on a rollout is asked to do it."""
    wait = seconds(timeout, 120.0)
    colours = open_namespace(context, namespace, kubeconfig).service(name).colours()
    with leaves("it may be half done; run the same command again to finish it"):
        colours.abort(timeout=wait, say=say)


def register(group: typer.Typer) -> None:
    """Add the commands to `mlk8s bluegreen`."""
    for function in (run, watch, abort):
        group.command(function.__name__)(function)
