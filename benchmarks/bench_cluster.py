"""What `local_cluster.py` measures, step by step: start-up, memory, and a deployment beside kubectl's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Mlk8sError
from mlk8s.local import parts, registry
from mlk8s.local.processes import namespace_pids
from mlk8s.local.progress import SILENT
from mlk8s.local.status import status
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.dry_run import manifests
from mlk8s.render.bundle import to_yaml
from mlk8s.storage import models

NAMESPACE = "bench"


@dataclass(frozen=True)
class UpTimes:
    """Seconds from the start of `mlk8s up`."""

    node_ready: float
    platform_ready: float


def up_times(name: str, port: int) -> UpTimes:
    """Run `mlk8s up` and see when the node gets Ready and when the command ends."""
    seen: list[float] = []
    ended = threading.Event()
    start = time.perf_counter()

    def look() -> None:
        while not ended.is_set() and not seen:
            if node_ready(name):
                seen.append(time.perf_counter() - start)
            time.sleep(0.1)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    mlk8s_program = Path(sys.executable).with_name("mlk8s")
    command = [mlk8s_program, "up", "--name", name, "--port", str(port), "--driver", "native", "--yes"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    whole = time.perf_counter() - start
    ended.set()
    watcher.join()
    return UpTimes(seen[0], whole)


def node_ready(name: str) -> bool:
    """Say whether the cluster's node has the condition Ready, as its API server tells it."""
    try:
        nodes = Cluster.connect(cluster=name).list("Node")
    except (Mlk8sError, OSError):
        return False
    conditions = [item for node in nodes for item in node["status"].get("conditions", [])]
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def memory_of(name: str) -> int:
    """Return the proportional set size in bytes of every process of a cluster, pods included.

    PSS counts a page that several processes share once in all, so the sum is what the machine lacks.
    """
    found = status(name)
    assert found is not None
    holder = next(item.pid for item in found.components if item.pid is not None)
    total = 0
    for pid in namespace_pids(holder):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended meanwhile
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024


def deploy_times(name: str, repeat: int) -> tuple[list[float], list[float], list[float]]:
    """Deploy the same small model by mlk8s and by kubectl, in turns.

    Returns:
        Seconds of `deploy`, of `kubectl apply` + `kubectl rollout status`, and of `deploy` to its first
        answered prediction.
    """
    k8s = mlk8s.connect(cluster=name, namespace=NAMESPACE)
    k8s.create_namespace(NAMESPACE)
    rows = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
    models.upload_model(small_model(), "s3://models/bench/1", config=k8s.storage(), exist_ok=True)
    ours, kubectl, first = [], [], []
    for turn in range(repeat):
        start = time.perf_counter()
        service = k8s.deploy(spec(f"ours-{turn}"), say=quiet)
        ours.append(time.perf_counter() - start)
        service.predict(rows)
        first.append(time.perf_counter() - start)
        service.delete(say=quiet)
        kubectl.append(by_kubectl(k8s, spec(f"kubectl-{turn}")))
        k8s.service(f"kubectl-{turn}").delete(say=quiet)
    return ours, kubectl, first


def by_kubectl(k8s: Kubernetes, wanted: mlk8s.ModelService) -> float:
    """Apply the manifests that `deploy` would send, and wait, with kubectl alone; return its seconds."""
    text = to_yaml(manifests(k8s.cluster, k8s.platform, [wanted], say=quiet))
    cluster = registry.find(k8s.cluster.context.removeprefix("mlk8s-"))
    assert cluster is not None
    program = parts.ensure(["kubectl"], progress=SILENT)["kubectl"]
    environment = os.environ | {"KUBECONFIG": str(cluster.directory / "kubeconfig")}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        start = time.perf_counter()
        for arguments in (
            ["apply", "--server-side", "--field-manager=mlk8s", "-f", file.name],
            ["rollout", "status", f"deployment/{wanted.name}", "-n", NAMESPACE, "--timeout=120s"],
        ):
            subprocess.run([program, *arguments], env=environment, check=True, capture_output=True)
        return time.perf_counter() - start


def spec(name: str) -> mlk8s.ModelService:
    small = mlk8s.Resources(cpu="100m", cpu_limit="1", memory="256Mi")
    return mlk8s.ModelService(name=name, model="s3://models/bench/1", replicas=2, resources=small)


def small_model() -> bytes:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    fitted = LogisticRegression(max_iter=500).fit(rows, labels)
    return bytes(to_onnx(fitted, rows[:1], options={"zipmap": False}).SerializeToString())


def quiet(_: str) -> None:
    """Say nothing: printing is not what is measured."""
