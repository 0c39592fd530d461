"""Measure our rollouts by evidence beside the real Flagger and the real Argo Rollouts on a local cluster.

    python benchmarks/canary_rivals.py --kubeconfig FILE                 # about twenty minutes
    python benchmarks/canary_rivals.py --kubeconfig FILE --only flagger  # a look at one; writes no results

Each tool brings out the same three versions (failing, slow, good) of the same model server under the same
load: 25 requests/s of one row, for the slow one 10 requests/s of 64 rows. Each has the same promise, at most
5 % of the requests failed and half of them answered within 100 ms, from the same histogram, looks every ten
seconds, and else has what its own documents propose (`rivals/`). The controllers are built from the modules
that `go/` pins, and run in the cluster as images. A rollout that is not decided after five minutes counts as
such.

Requests that the canary answered are counted by the client: until the verdict where the version is promoted,
else to the end. A failed request that another than the new version answered, or nobody, is the machinery's.
The last line is `met N of M`: each verdict of ours is right, no request of ours is lost to the machinery, and
of canary requests and failed requests ours has not more than either rival.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from local_cluster import Row, report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from onnx_models import ROW, broken, scaling, slow
from rival_controllers import RIVALS, Rival, local_cluster, refuse_others, uninstall
from rival_rollouts import ANALYSIS, Ours, Tool, rivals

import mlk8s
from mlk8s.clients.background import BackgroundClient
from mlk8s.clients.inference import Inference
from mlk8s.errors import LocalClusterError, Mlk8sError
from mlk8s.operations.connection import Kubernetes
from mlk8s.storage.models import upload_model

WANTED = {"failing": "rolled back", "slow": "rolled back", "good": "promoted"}
TAIL = 35.0
"""Seconds for which requests go on after a rollout: Argo keeps the old pods for 30 s."""


@dataclass(frozen=True)
class Rollout:
    """One line of the table; times are in seconds since the new version was asked for."""

    tool: str
    version: str
    verdict: str
    right: bool
    decided: float | None
    ended: float
    canary_requests: int
    requests: int
    failed: int
    lost: int

    def __str__(self) -> str:
        decided = "-" if self.decided is None else f"{self.decided:.0f} s"
        right = "yes" if self.right else "NO"
        counts = (self.canary_requests, self.failed, self.lost, self.requests)
        return line(self.tool, self.version, self.verdict, right, decided, f"{self.ended:.0f} s", *counts)


def line(*cells: object) -> str:
    """Return one line of the table."""
    widths = (-14, -8, -12, -5, 6, 6, 8, 7, 5, 9)
    texts = map(str, cells)
    return " ".join(
        text.ljust(-width) if width < 0 else text.rjust(width)
        for text, width in zip(texts, widths, strict=True)
    )


HEADER = line("tool", "version", "verdict", "right", "after", "ended", "canary", "failed", "lost", "requests")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", required=True, help="of a local cluster, with its platform")
    parser.add_argument("--namespace", default="bench-rivals", help="made, and removed at the end")
    names = ("mlk8s", *(rival.name for rival in RIVALS))
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these tools")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    local = local_cluster(options.kubeconfig)
    k8s = mlk8s.connect(kubeconfig=options.kubeconfig, namespace=options.namespace)
    wanted = [rival for rival in RIVALS if rival.name in options.only]
    errors = {rival.name: error for rival in wanted if (error := cannot_be_had(rival))}
    built = [rival for rival in wanted if rival.name not in errors]
    tools = [*([Ours(k8s)] if "mlk8s" in options.only else []), *rivals(k8s, local, built)]
    refuse_others(k8s.cluster, built)
    if not k8s.create_namespace(options.namespace):
        raise SystemExit(f"namespace {options.namespace} is there already: not a measurement")
    load = os.getloadavg()
    try:
        found = measured(tools, k8s, errors)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # what was begun to be taken out is taken out
        uninstall(k8s.cluster, options.namespace, built)
    for name, error in errors.items():
        print(f"{name}: {error}")
    versions = {tool.name: tool.version for tool in tools} | {"kubernetes": k8s.version}
    more = {
        "rollouts": [asdict(item) for item in found],
        "errors": errors,
        "analysis": ANALYSIS.model_dump(mode="json"),
        "load_average": {"before": load, "after": os.getloadavg()},
    }
    if rows := asked(found):
        print()
        report(rows, "canary_rivals" if set(options.only) == set(names) else None, versions, more)
    return 0


def cannot_be_had(rival: Rival) -> str | None:
    """Build a rival, and return what Go said where that fails."""
    try:
        rival.folder  # noqa: B018 (made when it is first asked for)
    except LocalClusterError as error:
        return str(error)
    return None


def uploaded(k8s: Kubernetes) -> dict[str, str]:
    """Publish the four versions and return their addresses."""
    built = {"stable": scaling(2.0), "good": scaling(3.0), "failing": broken(), "slow": slow(2_000)}
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return {name: upload_model(model, f"{bucket}/{name}", config=config).url for name, model in built.items()}


def measured(tools: list[Tool], k8s: Kubernetes, errors: dict[str, str]) -> list[Rollout]:
    """Bring out each version with each tool; why a rival could not be measured is added to `errors`."""
    models = uploaded(k8s)
    found: list[Rollout] = []
    print(HEADER, flush=True)
    for tool in tools:
        try:
            tool.start(models["stable"])
            for version in WANTED:
                found.append(rollout(tool, k8s, models[version], version))
                print(found[-1], flush=True)
        except (Mlk8sError, TimeoutError) as error:
            if tool.name == "mlk8s":
                raise
            errors[tool.name] = str(error)
    return found


def rollout(tool: Tool, k8s: Kubernetes, model: str, version: str) -> Rollout:
    """Bring out one version under load."""
    rows, rate = ([ROW] * 64, 10.0) if version == "slow" else ([ROW], 25.0)
    client = Inference(f"{k8s.platform.ingress_url}/{k8s.namespace}/{tool.name}")
    answers(client, rows)
    with BackgroundClient(client, rows, rps=rate) as background:
        began = time.time()
        result = tool.roll(model)
        ended = time.time()
        time.sleep(TAIL)
    client.close()
    records = background.records
    # A promoted version answers everything from then on: what the canary answered ends with the verdict.
    last = result.decided if result.end == "promoted" and result.decided else records[-1].time
    return Rollout(
        tool=tool.name,
        version=version,
        verdict=result.end,
        right=result.end == WANTED[version],
        decided=None if result.decided is None else result.decided - began,
        ended=ended - began,
        canary_requests=sum(item.version == version and item.time <= last for item in records),
        requests=len(records),
        failed=sum(item.error is not None for item in records),
        lost=len(background.failures(exclude_version=version)),
    )


def answers(client: Inference, rows: list[list[float]], seconds: float = 30.0) -> None:
    """Wait until predictions come: routes are live a moment after they were written."""
    end = time.monotonic() + seconds
    while True:
        try:
            client.infer(rows)
        except Mlk8sError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def asked(found: list[Rollout]) -> list[Row]:
    """Return what is asked of ours."""
    made = []
    for ours in (item for item in found if item.tool == "mlk8s"):
        version = ours.version
        made.append(Row(f"{version}: wrong verdicts", 0, float(not ours.right), "", ours.verdict))
        made.append(Row(f"{version}: requests lost by the machinery", 0, ours.lost, ""))
        for other in found:
            if other.tool == "mlk8s" or other.version != version:
                continue
            note = f"{other.verdict}{'' if other.right else ', which is wrong'}"
            for what in ("canary_requests", "failed"):
                name = f"{version}: {what.removesuffix('_requests')} requests, at most as of {other.tool}"
                made.append(Row(name, getattr(other, what), getattr(ours, what), "", note))
    return made


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
