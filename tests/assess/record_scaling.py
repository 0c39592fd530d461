"""Record how a real autoscaler follows real load: the facts of test_scaling_recorded.py.

    python -m tests.assess.record_scaling KUBECONFIG [CASE ...]

Needs a local cluster with its platform, and a quiet machine. Makes namespace mlk8s-record-scaling with a slow
model whose pods have 300 millicores each, so that other work on the machine matters little; runs each case as
a load test of its own, writes tests/assess/facts/scaling/CASE.json and deletes the namespace. Case `one-pod`
has no autoscaler and overloads its pod: the service model is fitted to it, and to nothing else.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import mlk8s
from mlk8s.errors import NotFound
from mlk8s.loadgen.histogram import value_of
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.run import Run
from mlk8s.report.run import pod_rows
from mlk8s.storage.models import upload_model
from tests.onnx_models import ROW, slow

HERE = Path(__file__).parent / "facts" / "scaling"
NAMESPACE = "mlk8s-record-scaling"
ROWS = np.tile(np.asarray(ROW, np.float32).reshape(1, -1), (64, 1))
AUTOSCALE = mlk8s.Autoscale(min=1, max=4, metric="requests_in_flight", target=2)
_OPTIONS: dict[str, Any] = {"timeout": "60s", "stop_above": 1}
CASES: dict[str, tuple[mlk8s.LoadProfile, float]] = {
    "one-pod": (mlk8s.LoadProfile.steps(rps=[4, 10, 18, 26, 60], hold="12s", **_OPTIONS), 0),
    "steps": (mlk8s.LoadProfile.steps(rps=[8, 45, 80, 15], hold="40s", **_OPTIONS), 60),
    "spike": (
        mlk8s.LoadProfile.spike(rps=10, peak=70, before="20s", width="30s", after="140s", **_OPTIONS),
        20,
    ),
    "users": (mlk8s.LoadProfile.closed(users=[1, 4, 12, 2], hold="40s", timeout="60s"), 60),
}
"""Profile of each case, and the seconds that are watched after it."""


def main(kubeconfig: str, *names: str) -> None:
    """Record the named cases, or all, one after the other."""
    k8s = mlk8s.connect(kubeconfig=kubeconfig, namespace=NAMESPACE)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    k8s.cluster.apply(body)
    try:
        for name in names or CASES:
            print(record(k8s, name), flush=True)
    finally:
        k8s.cluster.delete("Namespace", NAMESPACE)


def record(k8s: Kubernetes, case: str) -> str:
    """Record one case; return one line about it."""
    profile, settle = CASES[case]
    model = upload_model(slow(24), f"s3://models/{NAMESPACE}/1", config=k8s.storage(), exist_ok=True)
    resources = mlk8s.Resources(cpu="50m", cpu_limit="300m", memory="256Mi")
    scaled: dict[str, Any] = {"replicas": 1} if case == "one-pod" else {"autoscale": AUTOSCALE}
    spec = mlk8s.ModelService(name="twin", model=model.url, resources=resources, **scaled)
    service = k8s.deploy(spec)
    _wait_for_rest(k8s)
    with tempfile.TemporaryDirectory() as place, Syncs(k8s) as syncs:
        run = service.loadtest(profile, inputs=ROWS, directory=Path(place) / "run", settle=settle)
        found = compact(run, syncs.times, autoscaled=case != "one-pod")
    HERE.mkdir(parents=True, exist_ok=True)
    (HERE / f"{case}.json").write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    return f"{case}: {run.summary.scaling.sentence()}"


class Syncs:
    """Notes when the autoscaler wrote its status, to 0.1 s: a run's samples are a second apart."""

    def __init__(self, k8s: Kubernetes) -> None:
        self.times: list[float] = []
        self._k8s = k8s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Syncs:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        known = None
        while not self._over.wait(0.1):
            found = self._k8s.cluster.find("HorizontalPodAutoscaler", "twin")
            version = found["metadata"]["resourceVersion"] if found else None
            if known is not None and version != known:
                self.times.append(time.time())
            known = version


def compact(run: Run, syncs: list[float], *, autoscaled: bool) -> dict[str, Any]:
    """Return what the test reads of a run: a list a column, an item a second from the start of the load."""
    columns = run.timeline().to_pydict()
    start = min(run.results.load)
    latency = []
    for t in columns["t"]:
        counts = run.results.requests.get(start + t)
        answered = counts.histogram if counts else {}
        total = sum(answered.values())
        mean = sum(value_of(bucket) * count for bucket, count in answered.items()) / total if total else None
        latency.append(mean)
    names = {
        "offered": "offered_rps", "sent": "sent_rps", "answered": "ok_rps", "wanted": "replicas_desired",
        "ready": "replicas_ready", "metric": "metric", "in_flight": "in_flight",
    }  # fmt: skip
    seconds = {name: columns[column] for name, column in names.items()} | {"latency": latency}
    return {
        "profile": run.profile.model_dump(exclude_none=True),
        "settle": run.facts["settle"],
        "autoscale": AUTOSCALE.model_dump(exclude_none=True) if autoscaled else None,
        "versions": run.facts["versions"],
        "syncs": [round(moment - start, 1) for moment in syncs if moment >= start],
        "seconds": {name: [_short(value) for value in values] for name, values in seconds.items()},
        "pods": [{key: value for key, value in row.items() if key != "pod"} for row in pod_rows(run)],
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _wait_for_rest(k8s: Kubernetes) -> None:
    """Wait until one pod has been all there is for half a minute, so that no window remembers a load."""
    quiet = 0
    while quiet < 30:
        try:
            status = k8s.cluster.get("Deployment", "twin").get("status") or {}
        except NotFound:
            status = {}
        alone = status.get("replicas") == status.get("readyReplicas") == 1
        quiet = quiet + 1 if alone else 0
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
