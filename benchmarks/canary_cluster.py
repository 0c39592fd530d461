"""Measure analysed rollouts on a real cluster: a good, a slow and a failing version, and one without traffic.

    python benchmarks/canary_cluster.py --kubeconfig FILE --namespace bench-canary

Promise: at most 5 % of the requests fail, and half of them are answered within 100 ms. A background client
sends 25 requests/s through the Ingress; of its failures none may be but those that the failing version itself
answered. The last line is `met N of M`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from onnx_models import ROW, broken, scaling, slow

import mlk8s
from mlk8s.operations.canary_run import Told
from mlk8s.storage.models import upload_model

NAME = "bench"
ANALYSIS = mlk8s.Analysis(
    slo=mlk8s.Slo(errors=0.05, p50="100ms"), block=5, bake=20, deadline=180, min_weight=20, max_weight=50
)
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
    met = [
        check
        for which in ("failing", "slow", "no traffic", "good")
        for check in rollout(service, urls, which)
    ]
    service.delete()
    print(f"met {sum(met)} of {len(met)}")


def rollout(service: Any, urls: dict[str, str], which: str) -> list[bool]:
    """Run one rollout, print its line, and return what was met."""
    model = urls["good" if which == "no traffic" else which]
    rows = [ROW] * (64 if which == "slow" else 1)
    rate = {"slow": 10.0}.get(which, 25.0)
    analysis = ANALYSIS.replace(deadline=20, bake=5) if which == "no traffic" else ANALYSIS

    def run() -> Any:
        told = Told(directory=tempfile.mkdtemp(prefix="canary-"))
        return service.running_canary().run(analysis, model=model, told=told, say=lambda _line: None)

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
        f"{failed:>4} failed  {lost:>3} not by the version itself  {result.api_rate} API calls/s"
    )
    met = [result.outcome == WANTED[which], lost == 0]
    # A rollout that ends with its first block has no rate from block to block.
    return met if result.api_rate is None else [*met, result.api_rate <= 2]


if __name__ == "__main__":
    main()
