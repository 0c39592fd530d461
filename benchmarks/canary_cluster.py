"""Measure analysed rollouts on a real cluster: a good, a slow and a failing version, and one without traffic.

    python benchmarks/canary_cluster.py --kubeconfig FILE --namespace bench-canary

Promise: at most 5 % of the requests fail, and half of them are answered within 100 ms. A background client
sends 25 requests/s through the Ingress; of its failures none may be but those that the failing version itself
answered. Calls of the API server are counted three times: from block to block, over the whole rollout with
its start and end, and in the 10 s with the most of them. The last line is `met N of M`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from local_cluster import Row, report
from onnx_models import ROW, broken, scaling, slow

import mlk8s
from mlk8s.clients.transport import Transport
from mlk8s.operations.canary_run import Told
from mlk8s.storage.models import upload_model

NAME = "bench"
ANALYSIS = mlk8s.Analysis(
    slo=mlk8s.Slo(errors=0.05, p50="100ms"), block=5, bake=20, deadline=180, min_weight=20, max_weight=50
)
MOST = 2.0
"""Calls of the API server a second that a rollout may make."""
_WINDOW = 10.0
WANTED = {"good": "promoted", "failing": "rolled back", "slow": "rolled back", "no traffic": "inconclusive"}


def main() -> None:
    """Run the four rollouts and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", default="bench-canary")
    options = parser.parse_args()
    k8s = mlk8s.connect(kubeconfig=options.kubeconfig, namespace=options.namespace)
    k8s.create_namespace(options.namespace)
    built = {"stable": scaling(2.0), "good": scaling(3.0), "failing": broken(), "slow": slow(2_000)}
    bucket, config = f"s3://models/{options.namespace}", k8s.storage()
    urls = {key: upload_model(model, f"{bucket}/{key}", config=config).url for key, model in built.items()}
    service = k8s.deploy(mlk8s.ModelService(name=NAME, model=urls["stable"], replicas=1))
    load = os.getloadavg()
    rows = [
        row for which in ("failing", "slow", "no traffic", "good") for row in rollout(service, urls, which)
    ]
    service.delete()
    more = {
        "analysis": ANALYSIS.model_dump(mode="json"),
        "load_average": {"before": load, "after": os.getloadavg()},
    }
    print()
    report(rows, "canary_cluster", {"kubernetes": k8s.version}, more)


class Calls:
    """Counts the calls of the API server while a `with` block runs, ten times a second.

    Attributes:
        total: all of them.
        seconds: that the block took.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport, self._stop = transport, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._seen: list[tuple[float, int]] = []

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        self.total, self.seconds = after - before, ended - began

    @property
    def rate(self) -> float:
        """Calls a second over the whole block."""
        return self.total / self.seconds

    @property
    def worst(self) -> float:
        """Calls a second in the ten seconds with the most of them."""
        last = self._seen[-1][0]
        found = [
            max(sent for at, sent in self._seen if at <= start + _WINDOW) - before
            for start, before in self._seen
        ]
        return max(found) / min(_WINDOW, last - self._seen[0][0])

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self._look()

    def _look(self) -> None:
        self._seen.append((time.monotonic(), self._transport.sent))


def rollout(service: Any, urls: dict[str, str], which: str) -> list[Row]:
    """Run one rollout, print its line, and return what was measured."""
    model = urls["good" if which == "no traffic" else which]
    rows = [ROW] * (64 if which == "slow" else 1)
    rate = {"slow": 10.0}.get(which, 25.0)
    analysis = ANALYSIS.replace(deadline=20, bake=5) if which == "no traffic" else ANALYSIS

    def run() -> Any:
        told = Told(directory=tempfile.mkdtemp(prefix="canary-"))
        with calls:
            return service.running_canary().run(analysis, model=model, told=told, say=lambda _line: None)

    calls = Calls(service.cluster.transport)
    if which == "no traffic":
        result, lost, failed = run(), 0, 0
    else:
        with service.background(rows, rps=rate) as background:
            result = run()
        lost = len(background.failures(exclude_version="failing"))
        failed = background.summary().failed
    decision = result.decision
    print(
        f"{which:<11} {result.outcome:<13} {decision.elapsed:>5.0f} s  {decision.requests:>5} requests  "
        f"{failed:>4} failed  {lost:>3} not by the version itself"
    )
    made = [
        Row(f"{which}: wrong verdicts", 0, float(result.outcome != WANTED[which]), "", result.outcome),
        Row(f"{which}: failed requests that it did not itself answer", 0, lost, ""),
    ]
    # A rollout that ends with its first block has no rate from block to block.
    if result.api_rate is not None:
        made.append(Row(f"{which}: API calls from block to block", MOST, result.api_rate, "/s"))
    whole = f"{calls.total} in {calls.seconds:.0f} s; {calls.worst:.1f}/s in the worst {_WINDOW:g} s"
    made.append(Row(f"{which}: API calls of the whole rollout", MOST, round(calls.rate, 2), "/s", whole))
    return made


if __name__ == "__main__":
    main()
