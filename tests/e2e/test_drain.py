"""`kubectl drain` under load: the PodDisruptionBudget holds the last pod, and no request is lost."""

from __future__ import annotations

import subprocess
from typing import Any

from e2e_tools import wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.local.parts import ensure
from mlk8s.local.progress import open_progress
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

NAME = "anchor"


def test_a_drain_ends_by_its_time_out_and_an_uncordon_heals(local_cluster: Any, namespace: str) -> None:
    """On the only node no pod can be replaced: the first is evicted, the second must stay."""
    k8s = mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)
    with open_progress() as progress:
        kubectl = ensure(["kubectl"], progress=progress)["kubectl"]
    model = upload_model(scaling(2.0), f"s3://models/{namespace}/1", config=k8s.storage()).url
    service = k8s.deploy(
        mlk8s.ModelService(
            name=NAME,
            model=model,
            replicas=2,
            startup_timeout=60,
            request_timeout=1,
            resources=Resources(cpu="50m", cpu_limit=None, memory="128Mi"),
        )
    )
    (node,) = (item["metadata"]["name"] for item in k8s.cluster.list("Node"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(kubectl), "--kubeconfig", str(local_cluster.kubeconfig), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def ready() -> int:
        return int(service.status().ready)

    # The budget's controller counts the pods a moment after they are ready.
    wait_for(lambda: k8s.cluster.get("PodDisruptionBudget", NAME)["status"].get("disruptionsAllowed") == 1)
    with service.background([ROW], rps=25) as background:
        try:
            drained = run(
                "drain", node, f"--pod-selector=app.kubernetes.io/name={NAME}", "--delete-emptydir-data",
                "--ignore-daemonsets", "--timeout=15s",
            )  # fmt: skip
            assert drained.returncode != 0
            assert "disruption budget" in drained.stderr, drained.stderr
            assert "evicting pod" in drained.stdout + drained.stderr
            assert ready() == 1
        finally:
            assert run("uncordon", node).returncode == 0
        wait_for(lambda: ready() == 2)  # the evicted pod is replaced
    service.delete()
    summary = background.summary()
    assert summary.failed == 0, summary
