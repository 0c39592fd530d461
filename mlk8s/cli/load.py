"""`mlk8s loadtest`, `mlk8s report`, `mlk8s compare` and `mlk8s merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.load_shape import (
    Arrive,
    Hold,
    MostDuration,
    MostRps,
    MostUsers,
    OwnTarget,
    ProfileFile,
    Ramp,
    RequestTimeout,
    Seed,
    Sinusoid,
    Speed,
    Spike,
    Steps,
    StopAbove,
    Trace,
    Users,
    Warmup,
    profile,
)  # fmt: skip
from mlk8s.cli.options import Body, CaCert, Context, Data, Form, Kubeconfig, Namespace, Output
from mlk8s.cli.output import facts, say, show
from mlk8s.cli.promise import P50, P90, P95, P99, Errors, promise
from mlk8s.cli.target import open_namespace
from mlk8s.cli.workers import WorkerCount, WorkerCpu, WorkerImage, asked
from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.operations.run import Run

_LOAD = "Load"


def loadtest(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")],
    data: Data = None,
    body: Body = None,
    steps: Steps = None,
    ramp: Ramp = None,
    spike: Spike = None,
    sinusoid: Sinusoid = None,
    users: Users = None,
    trace: Trace = None,
    speed: Speed = None,
    profile_file: ProfileFile = None,
    hold: Hold = None,
    arrivals: Arrive = None,
    seed: Seed = None,
    warmup: Warmup = None,
    request_timeout: RequestTimeout = None,
    stop_above: StopAbove = None,
    most_rps: MostRps = None,
    most_users: MostUsers = None,
    most_duration: MostDuration = None,
    own_target: OwnTarget = None,
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            metavar="N",
            rich_help_panel=_LOAD,
            help="Processes of this machine that send together.",
        ),
    ] = 1,
    workers: WorkerCount = None,
    worker_image: WorkerImage = None,
    worker_cpu: WorkerCpu = None,
    settle: Annotated[
        str,
        typer.Option(
            "--settle",
            metavar="DURATION",
            rich_help_panel=_LOAD,
            help="How long to watch the replicas afterwards.",
        ),
    ] = "0s",
    p50: P50 = None,
    p90: P90 = None,
    p95: P95 = None,
    p99: P99 = None,
    errors: Errors = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; ./runs/NAME-TIME by default."),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live/--no-live", help="On a terminal: a live table, instead of a line every ten seconds."
        ),
    ] = True,
    cacert: CaCert = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Load a model service through its Ingress with Locust, and watch its replicas follow.

    Load goes to loopback or to the connected cluster's own ingress; any other host has to be named by
    --i-own-this-target. Exit code 1 says that the promise (--slo-...) was broken, that too little was seen to
    tell, or that the test did not run to its end, as when more requests failed than --stop-above accepts.
    """
    if (data is None) == (body is None):
        raise UsageError(
            "a load test needs one request to repeat", expected="exactly one of --data and --body"
        )
    load = profile(
        steps=steps, ramp=ramp, spike=spike, sinusoid=sinusoid, users=users, trace=trace, speed=speed,
        file=profile_file, hold=hold, arrivals=None if arrivals is None else arrivals.value, seed=seed,
        warmup=warmup, timeout=request_timeout, stop_above=stop_above, most_rps=most_rps,
        most_users=most_users, most_duration=most_duration,
    )  # fmt: skip
    slo = promise(p50=p50, p90=p90, p95=p95, p99=p99, errors=errors)
    pods = asked(workers, worker_image, worker_cpu)
    sent = request(data, body)
    k8s = open_namespace(context, namespace, kubeconfig)
    service = k8s.service(name)
    if cacert is not None:
        service.trust(cacert)
    from mlk8s.cli.live import view
    from mlk8s.operations.loadtest import loadtest

    try:
        run = loadtest(
            k8s.cluster,
            service,
            load,
            slo=slo,
            directory=out,
            settle=settle,
            processes=processes,
            workers=pods,
            live=view(live),
            own_target=own_target,
            say=say,
            **sent,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted: Locust has ended; `mlk8s report DIR` shows what was measured, DIR as named above"
        ) from None
    _show(run, output)
    if run.verdict is not None:
        raise typer.Exit(run.verdict.exit_code)


def report(
    directory: Annotated[Path, typer.Argument(metavar="RUNDIR", help="Directory of a load test.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="The file; report.html in the directory by default."),
    ] = None,
) -> None:
    """Write a load test's report as one HTML file that needs no network; prints its path."""
    from mlk8s.operations.run import Run

    print(Run.open(directory).report(out))


def compare(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE", help="Directory of the load test before.")],
    directory: Annotated[Path, typer.Argument(metavar="RUNDIR", help="Directory of the load test now.")],
    confidence: Annotated[
        float,
        typer.Option(
            "--confidence", metavar="SHARE", help="That nothing is called worse which is not, 0 to 1."
        ),
    ] = 0.99,
    latency: Annotated[
        float,
        typer.Option(
            "--latency", metavar="SHARE", help="By which a percentile may be worse before it counts."
        ),
    ] = 0.05,
    errors: Annotated[
        float,
        typer.Option(
            "--errors", metavar="SHARE", help="By which the error rate may be worse before it counts."
        ),
    ] = 0.001,
    block: Annotated[
        int, typer.Option("--block", metavar="SECONDS", help="Seconds that share their disturbances.")
    ] = 5,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE.html", help="Also write plots with confidence bands and a table."
        ),
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Say whether a load test went worse than another of the same load; exit code 1 where it certainly did.

    What the noise of both explains is no regression: blocks of time are drawn again and again (bootstrap).
    """
    from dataclasses import asdict

    from mlk8s.operations.run import Run

    found = Run.open(directory).compare(
        Run.open(baseline), block=block, confidence=confidence, latency=latency, errors=errors
    )
    values = {
        "differences": [asdict(item) for item in found.differences],
        "confidence": found.confidence,
        "worse": found.worse,
    }
    if report is not None:
        say(f"report: {found.report(report)}")
    show(values, output, str(found))
    raise typer.Exit(found.exit_code)


def merge(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNDIR RUNDIR...", help="Directories of load tests that ran at the same time."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New directory for all of it.")],
    output: Output = Form.TABLE,
) -> None:
    """Add up load tests that several machines sent to one service at the same time."""
    from mlk8s.operations.run import Run

    _show(Run.merge(*map(Run.open, directories), directory=out), output)


def request(data: str | None, body: str | None) -> dict[str, Any]:
    """Return the keyword that says what is sent: `inputs` of --data, or `body` of --body."""
    from mlk8s.cli.data import read_inputs, read_text

    if data is not None:
        return {"inputs": read_inputs(data)}
    text = body or ""
    # `--body request.json` means the file, too: what is sent is too long for a command line
    return {"body": read_text(text if text[:1] in ("@", "-", "{") else f"@{text}")[0].encode()}


def _show(run: Run, output: Form) -> None:
    from dataclasses import asdict

    verdict = run.verdict
    values = {
        "directory": str(run.directory),
        "verdict": verdict.word if verdict else None,
        "checks": [asdict(check) for check in verdict.checks] if verdict else [],
        "stages": [asdict(stage) for stage in run.summary.stages],
        "scaling": asdict(run.summary.scaling),
    }
    table = facts(
        [("results", run.directory), ("verdict", verdict), ("report", f"mlk8s report {run.directory}")]
    )
    show(values, output, table)


def register(app: typer.Typer) -> None:
    """Add `mlk8s loadtest`, `mlk8s report`, `mlk8s compare` and `mlk8s merge`."""
    for function in (loadtest, report, compare, merge):
        app.command(function.__name__, rich_help_panel="Load tests")(function)
