"""`mlk8s canary run | resume | hold | abort | replay`: a canary that is decided by evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli import shadow
from mlk8s.cli.analysis_options import (
    Alpha,
    AtDeadline,
    Bake,
    Beta,
    BlockLength,
    Deadline,
    Failures,
    Margin,
    MaxHarmed,
    MaxWeight,
    MinWeight,
    PromoteFrom,
    Steps,
    analysis_of,
    option,
)
from mlk8s.cli.canary_view import open_view
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, seconds
from mlk8s.cli.output import say, show
from mlk8s.cli.promise import P50, P90, P95, P99, Errors
from mlk8s.cli.target import open_namespace
from mlk8s.errors import Mlk8sError, RolledBack, UsageError

if TYPE_CHECKING:
    from mlk8s.operations.canary_handle import CanaryHandle
    from mlk8s.operations.connection import Kubernetes
    from mlk8s.operations.rollout_view import CanaryResult
    from mlk8s.spec.analysis import Analysis

_TOLD = "Who is told"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")]
Cookie = Annotated[
    str | None,
    typer.Option(
        "--cookie", metavar="NAME", help="Cookie by which a client stays with the version that it got first."
    ),
]


Webhook = Annotated[
    str | None, option("--webhook", "URL", "http(s) address that gets each verdict as JSON.", _TOLD)
]
MetricsPort = Annotated[
    int | None, option("--metrics-port", "PORT", "Serve the rollout's metrics at 127.0.0.1:PORT.", _TOLD)
]
Directory = Annotated[
    Path | None, option("--directory", "DIR", "Where evidence.jsonl goes; ./runs/... by default.", _TOLD)
]
_PLACE = "Where it runs"
InCluster = Annotated[
    bool,
    typer.Option(
        "--in-cluster", help="Let a Job of the cluster do it: no process has to stay here.",
        rich_help_panel=_PLACE,
    ),
]  # fmt: skip
Detach = Annotated[
    bool,
    typer.Option("--detach", help="With --in-cluster: do not watch it.", rich_help_panel=_PLACE),
]
Image = Annotated[
    str | None, option("--image", "REF", "Image of the Job, where it is not the platform's.", _PLACE)
]
Blind = Annotated[
    str | None,
    option(
        "--blind", "DURATION",
        "How long Prometheus, or all pods of the canary, may be away before it is rolled back (5m).",
    ),
]  # fmt: skip


def run(
    name: Name,
    model: Annotated[str, typer.Option("--model", metavar="URL", help="The new version; as deploy --model.")],
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    steps: Steps = None,
    max_harmed: MaxHarmed = None,
    alpha: Alpha = None,
    beta: Beta = None,
    margin: Margin = None,
    failures: Failures = None,
    block: BlockLength = None,
    bake: Bake = None,
    deadline: Deadline = None,
    at_deadline: AtDeadline = None,
    min_weight: MinWeight = None,
    max_weight: MaxWeight = None,
    promote_from: PromoteFrom = None,
    blind: Blind = None,
    header: Annotated[
        str | None,
        typer.Option(
            "--header", metavar="NAME",
            help="Request header; `always` leads to the canary at any weight, `never` away.",
        ),
    ] = None,
    cookie: Cookie = None,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help="Pods of the canary.")] = 1,
    in_cluster: InCluster = False,
    detach: Detach = False,
    image: Image = None,
    webhook: Webhook = None,
    metrics_port: MetricsPort = None,
    directory: Directory = None,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:  # fmt: skip
    """Start a new version and decide by evidence: more weight, promotion, or rollback.

    Exit code 0: promoted. 3: rolled back. 1: time was up without enough evidence, or it failed.
    A run that was cut off goes on with the same command, or with `mlk8s canary resume NAME`.
    With --in-cluster a Job does it, and this command only watches: Ctrl-C ends nothing else.
    """
    analysis = analysis_of(
        {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "errors": errors},
        steps=steps, failures=failures, at_deadline=at_deadline, max_harmed=max_harmed, alpha=alpha,
        beta=beta, margin=margin, block=block, bake=bake, deadline=deadline, min_weight=min_weight,
        max_weight=max_weight, promote_from=promote_from,
    )  # fmt: skip
    options = rollout_options(webhook, metrics_port, directory, blind, timeout)
    k8s = open_namespace(context, namespace, kubeconfig)
    handle = k8s.service(name).running_canary()
    spec: dict[str, Any] = {"model": model, "header": header, "cookie": cookie, "replicas": replicas}
    if _in_cluster(handle, analysis, spec, in_cluster, detach, image, options, output):
        return
    with leaves(left(k8s, name)):
        result = handle.run(
            analysis,
            **spec,
            view=open_view(say),
            **options,
        )
    end_with(result, output)


def resume(
    name: Name,
    blind: Blind = None,
    in_cluster: InCluster = False,
    detach: Detach = False,
    image: Image = None,
    webhook: Webhook = None,
    metrics_port: MetricsPort = None,
    directory: Directory = None,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go on with a rollout that is held, or whose process is gone; exit codes as `run`."""
    options = rollout_options(webhook, metrics_port, directory, blind, timeout)
    k8s = open_namespace(context, namespace, kubeconfig)
    handle = k8s.service(name).running_canary()
    if _in_cluster(handle, None, {}, in_cluster, detach, image, options, output):
        return
    with leaves(left(k8s, name)):
        result = handle.resume(view=open_view(say), **options)
    if result is not None:
        end_with(result, output)


def hold(
    name: Name, context: Context = None, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Keep a rollout's weight as it is, except for a rollback, until `mlk8s canary resume`."""
    open_namespace(context, namespace, kubeconfig).service(name).running_canary().hold(say=say)


def watch(
    name: Name, context: Context = None, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Show a rollout that any process works on, block by block, until it ends; Ctrl-C ends only this."""
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(left(k8s, name)):
        print(k8s.service(name).running_canary().watch(view=open_view(say), say=say))


def abort(
    name: Name,
    timeout: Timeout = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Roll a canary back now; the process that works on it is asked to do it, where there is one."""
    wait = seconds(timeout, 120.0)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves("the rollback is half done; run the same command again to finish it"):
        k8s.service(name).running_canary().rollback(timeout=wait, say=say)


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Directory of a rollout or a shadow, or the file in it.", exists=True
        ),
    ],
    output: Output = Form.TABLE,
) -> None:
    """Decide again on recorded blocks; exit code 1 where a decision differs from the recorded one."""
    if file.name == "shadow.jsonl" or (file / "shadow.jsonl").exists():
        shadow.replay(file, output)
        return
    from mlk8s.assess.evidence import Record
    from mlk8s.assess.rollout_words import evidence_rows

    place = file / "evidence.jsonl" if file.is_dir() else file
    with place.open() as lines:
        record = Record.read(lines)
    decided, differences = record.replay(), record.differences()
    table = []
    for number, ((block, _), now) in enumerate(zip(record.entries, decided, strict=True), start=1):
        table.append(
            f"{number:>4}  weight {block.weight:>3} %  {block.canary.requests:>6} requests  "
            f"{now.verdict}: {now.reasons[0]}"
        )
    for row in evidence_rows(decided[-1]) if decided else ():
        table.append("      " + " · ".join(row))
    table.append("\n".join(differences) or "every decision is the recorded one")
    show([one.to_dict() for one in decided], output, "\n".join(table))
    if differences:
        raise Mlk8sError(
            f"{len(differences)} decisions differ from the recorded ones",
            where=str(place),
            expected="the same decisions; the file was changed, or another version of mlk8s wrote it",
        )


def rollout_options(
    webhook: str | None,
    metrics_port: int | None,
    directory: Path | None,
    blind: str | None,
    timeout: str | None,
) -> dict[str, Any]:
    from mlk8s.operations.rollout_drive import BLIND
    from mlk8s.operations.rollout_tell import Told

    told = Told(directory=directory, webhook=webhook, metrics_port=metrics_port)
    return {"told": told, "blind": seconds(blind, BLIND), "timeout": seconds(timeout, 180.0), "say": say}


def _in_cluster(
    handle: CanaryHandle, analysis: Analysis | None, spec: dict[str, Any], wanted: bool, detach: bool,
    image: str | None, options: dict[str, Any], output: Form,
) -> bool:  # fmt: skip
    """Let the cluster do it, where that is wanted; return whether it is."""
    told = options["told"]
    if not wanted:
        if detach or image:
            raise UsageError(f"{'--detach' if detach else '--image'} without --in-cluster")
        return False
    if told.metrics_port is not None:
        raise UsageError(
            "--metrics-port with --in-cluster",
            expected="one of them: Prometheus scrapes the Job's pod itself",
        )
    limits = {key: options[key] for key in ("blind", "timeout", "say")}
    with leaves("nothing works on the rollout yet; the same command starts it again"):
        handle.launch(analysis, **spec, image=image, webhook=told.webhook, **limits)
    if not detach:
        name = handle.service.name
        with leaves(f"the rollout goes on in the cluster; `mlk8s canary watch {name}` shows it again"):
            result = handle.follow(told=told, view=open_view(say), say=say)
        end_with(result, output)
    return True


def left(k8s: Kubernetes, name: str) -> Callable[[], str]:
    """Return what looks at what is left after a Ctrl-C."""
    from mlk8s.operations import canary_left

    return lambda: canary_left.left(k8s.cluster, name, k8s.namespace)


def end_with(result: CanaryResult, output: Form) -> None:
    values = {
        "service": result.service, "model": result.model, "outcome": result.outcome, "why": list(result.why),
        "directory": str(result.directory), "seconds": result.seconds, "api_calls": result.api_calls,
        "api_rate": result.api_rate,
        "decision": result.decision.to_dict() if result.decision else None,
    }  # fmt: skip
    show(values, output, str(result))
    if result.promoted:
        return
    error = RolledBack if result.outcome == "rolled back" else Mlk8sError
    raise error(
        f"{result.model} was not promoted: {result.outcome}",
        where=f"service {result.service}",
        next_step=f"`mlk8s canary replay {result.directory}` shows why",
    )


def register(group: typer.Typer) -> None:
    """Add the commands to `mlk8s canary`."""
    for function in (run, resume, hold, watch, abort, replay):
        group.command(function.__name__)(function)
