"""`mlk8s canary run | resume | hold | abort | replay`: a canary that is decided by evidence."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli import shadow
from mlk8s.cli.canary_view import open_view
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, collect, seconds
from mlk8s.cli.output import say, show
from mlk8s.cli.promise import P50, P90, P95, P99, Errors, promise
from mlk8s.cli.target import open_namespace
from mlk8s.errors import Mlk8sError, RolledBack, UsageError

if TYPE_CHECKING:
    from mlk8s.operations.canary_run import CanaryResult
    from mlk8s.spec.analysis import Analysis, Step

_PANEL = "Evidence"
_TOLD = "Who is told"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")]


class AtDeadline(StrEnum):
    """What is done when time is up."""

    ROLLBACK = "rollback"
    PROMOTE = "promote"
    HOLD = "hold"


class Failures(StrEnum):
    """What is assumed of failures in one block."""

    ADAPTIVE = "adaptive"
    INDEPENDENT = "independent"
    CORRELATED = "correlated"


def _option(name: str, metavar: str, text: str, panel: str = _PANEL) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)


Webhook = Annotated[
    str | None, _option("--webhook", "URL", "http(s) address that gets each verdict as JSON.", _TOLD)
]
MetricsPort = Annotated[
    int | None, _option("--metrics-port", "PORT", "Serve the rollout's metrics at 127.0.0.1:PORT.", _TOLD)
]
Directory = Annotated[
    Path | None, _option("--directory", "DIR", "Where evidence.jsonl goes; ./runs/... by default.", _TOLD)
]
Blind = Annotated[
    str | None,
    _option(
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
    steps: Annotated[
        str | None,
        _option("--steps", "PERCENT:TIME,...", "Weights and how long each is held; automatic without."),
    ] = None,
    max_harmed: Annotated[
        int | None, _option("--max-harmed", "N", "Requests beyond the SLO that the canary may harm (100).")
    ] = None,
    alpha: Annotated[
        float | None, _option("--alpha", "SHARE", "Accepted probability of a wrong rollback (0.01).")
    ] = None,
    beta: Annotated[
        float | None, _option("--beta", "SHARE", "Accepted probability of a wrong promotion (0.01).")
    ] = None,
    margin: Annotated[
        float | None,
        _option("--margin", "SHARE", "Share of the bound by which it may be worse than stable (0.25)."),
    ] = None,
    failures: Annotated[
        Failures | None,
        _option(
            "--failures",
            "adaptive|independent|correlated",
            "Whether the requests of a block may fail together.",
        ),
    ] = None,
    block: Annotated[
        str | None, _option("--block", "DURATION", "Length of a block of time (10s).")
    ] = None,
    bake: Annotated[
        str | None, _option("--bake", "DURATION", "How long it gets requests at least (2m).")
    ] = None,
    deadline: Annotated[
        str | None, _option("--deadline", "DURATION", "When the verdict is `inconclusive` (30m).")
    ] = None,
    at_deadline: Annotated[
        AtDeadline | None, _option("--at-deadline", "hold|promote|rollback", "What is done then (rollback).")
    ] = None,
    min_weight: Annotated[
        int | None, _option("--min-weight", "PERCENT", "First weight without --steps (5).")
    ] = None,
    max_weight: Annotated[
        int | None, _option("--max-weight", "PERCENT", "Largest weight without --steps (50).")
    ] = None,
    promote_from: Annotated[
        int | None, _option("--promote-from", "PERCENT", "Weight from which on it may be promoted.")
    ] = None,
    blind: Blind = None,
    header: Annotated[
        str | None,
        typer.Option(
            "--header", metavar="NAME",
            help="Request header; `always` leads to the canary at any weight, `never` away.",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help="Pods of the canary.")] = 1,
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
    """
    slo = promise(p50=p50, p90=p90, p95=p95, p99=p99, errors=errors)
    if slo is None:
        raise UsageError("no promise to judge by", expected="--slo-errors SHARE, --slo-p99 DURATION, ...")
    analysis = _analysis(
        slo=slo, alpha=alpha, beta=beta, margin=margin, errors=failures.value if failures else None,
        block=block, bake=bake, deadline=deadline, at_deadline=at_deadline.value if at_deadline else None,
        min_weight=min_weight, max_weight=max_weight, promote_from=promote_from,
        max_harmed_requests=max_harmed, steps=parse_steps(steps) if steps and steps != "automatic" else None,
    )  # fmt: skip
    options = _options(webhook, metrics_port, directory, blind, timeout)
    k8s = open_namespace(context, namespace, kubeconfig)
    handle = k8s.service(name).running_canary()
    with leaves(_left(name)):
        result = handle.run(
            analysis,
            model=model,
            header=header,
            replicas=replicas,
            view=open_view(say),
            **options,
        )
    _finish(result, output)


def resume(
    name: Name,
    blind: Blind = None,
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
    options = _options(webhook, metrics_port, directory, blind, timeout)
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(_left(name)):
        result = k8s.service(name).running_canary().resume(view=open_view(say), **options)
    if result is not None:
        _finish(result, output)


def hold(
    name: Name, context: Context = None, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Keep a rollout's weight as it is, except for a rollback, until `mlk8s canary resume`."""
    open_namespace(context, namespace, kubeconfig).service(name).running_canary().hold(say=say)


def watch(
    name: Name, context: Context = None, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Show a rollout that any process works on, block by block, until it ends; Ctrl-C ends only this."""
    canary = open_namespace(context, namespace, kubeconfig).service(name).running_canary()
    with leaves("the rollout goes on"):
        print(canary.watch(view=open_view(say), say=say))


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


def parse_steps(text: str) -> tuple[Step, ...]:
    """Return the steps of `5:1m,25:1m`; a step without a time is held for a minute.

    Raises:
        UsageError: it is no list of PERCENT:TIME.
    """
    from mlk8s.spec.analysis import Step

    found = []
    for item in text.split(","):
        weight, _, pause = item.strip().partition(":")
        if not weight.isdigit():
            raise UsageError(f"--steps {text!r}", expected="PERCENT:TIME,..., such as 5:1m,25:2m")
        found.append(Step(weight=int(weight), pause=seconds(pause or None, 60.0)))
    return tuple(found)


def _analysis(**values: Any) -> Analysis:
    from mlk8s.spec.analysis import Analysis

    return Analysis(**collect(**values))


def _options(
    webhook: str | None,
    metrics_port: int | None,
    directory: Path | None,
    blind: str | None,
    timeout: str | None,
) -> dict[str, Any]:
    from mlk8s.operations.canary_run import BLIND, Told

    told = Told(directory=directory, webhook=webhook, metrics_port=metrics_port)
    return {"told": told, "blind": seconds(blind, BLIND), "timeout": seconds(timeout, 180.0), "say": say}


def _left(name: str) -> str:
    return (
        f"the canary of {name} keeps its weight and nobody watches it; `mlk8s canary resume {name}` goes on, "
        f"`mlk8s canary abort {name}` rolls back"
    )


def _finish(result: CanaryResult, output: Form) -> None:
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
