"""`mlk8s job` and `mlk8s cron`: feature pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, Wait, seconds
from mlk8s.cli.output import facts, say, show
from mlk8s.cli.target import open_namespace
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.operations.job import JobResult

File = Annotated[
    str | None,
    typer.Option("--filename", "-f", metavar="FILE", help="YAML document of the spec; - is standard input."),
]


def job_run(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the Job, without -f.")] = None,
    file: File = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source", metavar="FILE.py", help="Python file with the function that builds the features."
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="s3://BUCKET/DATASET that is published.")
    ] = None,
    entry: Annotated[
        str | None, typer.Option("--entry", metavar="FUNCTION", help="Function in it; `build` by default.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", metavar="NAME", help="Name of the version; the time of the start by default."
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="KEY=JSON", help="Keyword argument of the function; may be repeated."
        ),
    ] = None,
    wait: Wait = True,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a feature pipeline once, as a Kubernetes Job, and show the data set version that it published."""
    from mlk8s.spec.job import FeatureJob

    given = {"name": name, "source": source, "output": to, "entry": entry, "version": version}
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if parameter:
        values["parameters"] = dict(_parameter(item) for item in parameter)
    if file is not None:
        if values:
            raise UsageError("-f and options of the spec are both given", expected="the spec from one place")
        spec = _one(file, FeatureJob)
    else:
        if name is None or source is None or to is None:
            raise UsageError("no Job is given", expected="NAME with --source and --to, or -f FILE")
        spec = FeatureJob(**values)
    limit = seconds(timeout, spec.active_deadline)
    k8s = open_namespace(context, namespace or spec.namespace, kubeconfig)
    with leaves(
        f"the Job goes on in the cluster; kubectl delete job -l app.kubernetes.io/name={spec.name} ends it"
    ):
        result = k8s.run_job(spec, wait=wait, timeout=limit, say=say)
    if result is not None:
        _show(result, output)


def cron_apply(
    file: Annotated[
        str,
        typer.Option(
            "--filename", "-f", metavar="FILE", help="YAML document of a FeatureCronJob; - is standard input."
        ),
    ],
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create or change a scheduled feature pipeline, a Kubernetes CronJob."""
    from mlk8s.spec.job import FeatureCronJob

    spec = _one(file, FeatureCronJob)
    k8s = open_namespace(context, namespace or spec.job.namespace, kubeconfig)
    with leaves("it may be applied; run the same command again"):
        k8s.apply_cron(spec, say=say)


def cron_trigger(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the CronJob.")],
    wait: Wait = True,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start a scheduled feature pipeline now, beside its schedule."""
    k8s = open_namespace(context, namespace, kubeconfig)
    with leaves(
        f"the Job goes on in the cluster; kubectl get jobs -l app.kubernetes.io/name={name} shows it"
    ):
        result = k8s.trigger_cron(name, wait=wait, say=say)
    if result is not None:
        _show(result, output)


def _one(file: str, kind: type[Any]) -> Any:
    from mlk8s.cli.documents import read_specs

    specs = read_specs(file)
    if len(specs) != 1 or not isinstance(specs[0], kind):
        found = ", ".join(type(item).__name__ for item in specs)
        raise UsageError(
            f"the file has {found}", where=file, expected=f"one {kind.__name__}",
            next_step="`mlk8s deploy -f` takes several documents of every kind",
        )  # fmt: skip
    return specs[0]


def _parameter(text: str) -> tuple[str, Any]:
    import json

    key, equals, value = text.partition("=")
    try:
        if not equals or not key.isidentifier():
            raise ValueError
        return key, json.loads(value)
    except ValueError:
        raise UsageError(
            f"--parameter {text!r} is not KEY=JSON",
            expected="such as --parameter limit=100 or 'name=\"digits\"'",
        ) from None


def _show(result: JobResult, output: Form) -> None:
    from dataclasses import asdict

    values = asdict(result)
    show(values, output, facts(list(values.items())))


def register(app: typer.Typer) -> None:
    """Add `mlk8s job run`, `mlk8s cron apply` and `mlk8s cron trigger`."""
    job = typer.Typer(help="Feature pipelines that run once.", no_args_is_help=True)
    job.command("run")(job_run)
    # A group with one command would become that command itself.
    job.callback()(_group)
    cron = typer.Typer(help="Feature pipelines on a schedule.", no_args_is_help=True)
    cron.command("apply")(cron_apply)
    cron.command("trigger")(cron_trigger)
    app.add_typer(job, name="job", rich_help_panel="Feature pipelines")
    app.add_typer(cron, name="cron", rich_help_panel="Feature pipelines")


def _group() -> None:
    """Feature pipelines that run once."""
