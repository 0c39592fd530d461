"""How much one pod holds, on the real cluster: found, checked, applied; the live service is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from e2e_tools import live_pods
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.assess.scaling import simulate
from mlk8s.errors import Conflict, UsageError
from mlk8s.local.runtime_image import PACKAGES_DIR
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.render.common import NAME
from mlk8s.storage.models import upload_model

SLO = mlk8s.Slo(p90="1500ms", errors=0.01)
WAITS = """
import time
from mlk8s.server.model import Model

run = Model.run

def waits(self, inputs, outputs):
    time.sleep(0.04)
    return run(self, inputs, outputs)

Model.run = waits
"""
"""One request after the other waits for 40 ms, as for an accelerator: the real server then answers nearly 25
requests/s, however busy this machine's own CPUs are."""
FULL = 25.0
KINDS = (
    "Deployment", "ReplicaSet", "Pod", "Service", "Ingress", "ConfigMap", "ServiceAccount", "NetworkPolicy",
    "PodDisruptionBudget", "HorizontalPodAutoscaler",
)  # fmt: skip


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def service(k8s: Kubernetes) -> Iterator[Service]:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    deployed = k8s.deploy(
        mlk8s.ModelService(
            name="sized",
            model=model.url,
            autoscale=mlk8s.Autoscale(min=1, max=3, target=9),
            resources=mlk8s.Resources(cpu="100m", memory="512Mi"),
            config_files={"/waits/sitecustomize.py": WAITS},
            env={"PYTHONPATH": f"/waits:{PACKAGES_DIR}:/app", "INFERENCE_WORKERS": "1"},
        )
    )
    yield deployed
    deployed.delete()


@pytest.fixture(scope="module")
def body(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("request") / "body.json"
    file.write_bytes(service.inference.encode([ROW]))
    return file


def living(service: Service) -> dict[str, Any]:
    """What a size must not touch: generation, pods and restarts of the service, and its autoscaler's spec."""
    cluster, namespace = service.cluster, service.namespace
    deployment = cluster.get("Deployment", service.name, namespace)
    pods = live_pods(cluster, f"{NAME}={service.name}", namespace)
    return {
        "generation": deployment["metadata"]["generation"],
        "pods": sorted((pod["metadata"]["uid"], restarts(pod)) for pod in pods),
        "hpa": cluster.get("HorizontalPodAutoscaler", service.name, namespace)["spec"],
    }


def restarts(pod: dict[str, Any]) -> int:
    return sum(item["restartCount"] for item in pod["status"].get("containerStatuses") or ())


def left(service: Service) -> list[str]:
    """Objects of the copy that are there."""
    found = []
    for kind in KINDS:
        items = service.cluster.list(kind, service.namespace, labels=f"{NAME}={service.name}-size")
        found += [f"{kind} {item['metadata']['name']}" for item in items]
    lease = service.cluster.find("Lease", f"mlk8s-size-{service.name}", service.namespace)
    return found + (["Lease"] if lease else [])


def run(k8s: Kubernetes, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "mlk8s", "size", *arguments, "-n", k8s.namespace, "--kubeconfig",
        str(k8s.cluster.source),
    ]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


@pytest.mark.timeout(420)
def test_the_rate_is_found_checked_and_planned_and_the_service_is_left_alone(
    service: Service, k8s: Kubernetes, body: Path, tmp_path: Path
) -> None:
    before, place = living(service), tmp_path / "size"
    process = run(
        k8s, "sized", "--body", f"@{body}", "--slo-p90", "1500ms", "--slo-errors", "0.01", "--peak", "50",
        "--pod-hour-price", "0.1", "--precision", "0.4", "-o", "json", "--out", str(place),
    )  # fmt: skip
    output, said = process.communicate(timeout=380)
    assert process.returncode == 0, said
    assert left(service) == []
    assert living(service) == before  # the load never came to it

    found = orjson.loads(output)
    low, high = found["interval"]
    assert low <= found["rate"] <= high
    probes = found["capacity"]["probes"]
    assert len(probes) >= 3 and {probe["held"] for probe in probes} == {True, False}
    held, broke = found["capacity"]["checks"]
    assert held["rate"] == pytest.approx(0.9 * found["rate"]) and held["held"], said
    assert broke["rate"] == pytest.approx(1.2 * found["rate"]) and not broke["held"], said
    assert found["confirmed"] is True
    assert said.count(" check at ") == 2 and said.count("  → ") == len(probes)

    assert 0.5 * FULL < found["rate"] < 1.2 * FULL
    # the pod counts its own requests and CPU
    assert held["in_flight"] == pytest.approx(held["rate"] * held["mean"], rel=0.6)
    assert 0 < held["cpu"] < 1
    sizing = mlk8s.Sizing.open(place)
    plan = sizing.plan
    assert plan is not None and plan.replicas is not None and plan.resources is not None
    assert 0 < plan.target < 9 and plan.replicas.needed * plan.pod_rps >= 50
    assert plan.cost == pytest.approx(0.1 / (plan.pod_rps * 3600) * 1e6)
    assert plan.resources.cpu_limit == "1" and plan.resources.memory != "512Mi"

    # the plan is what the cluster takes: by kubectl's patches, and by the ordinary deploy
    for patch in sizing.patches:
        dry_patch(service, patch)
    assert any("HorizontalPodAutoscaler" in item.object for item in k8s.diff(sizing.spec, say=print))
    model = sizing.service_model()
    twin = simulate(mlk8s.LoadProfile.constant(rps=50, hold="2m"), sizing.spec.autoscale, model)
    assert twin.seconds[-1].replicas >= plan.replicas.needed - 1
    assert "One pod of sized holds" in repr(sizing) and sizing.plot().png()


def dry_patch(service: Service, patch: dict[str, Any]) -> None:
    """Let the API server check a patch as `kubectl patch --dry-run=server` does."""
    group = "autoscaling/v2" if patch["kind"] == "HorizontalPodAutoscaler" else "apps/v1"
    resource = patch["kind"].lower() + "s"
    kinds = {"merge": "merge-patch", "strategic": "strategic-merge-patch"}
    service.cluster.raw(
        "PATCH", f"/apis/{group}/namespaces/{service.namespace}/{resource}/{patch['name']}",
        query={"dryRun": "All"}, body=patch["patch"], content_type=f"application/{kinds[patch['type']]}+json",
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_a_promise_that_cannot_be_held_is_a_negative_verdict(
    service: Service, k8s: Kubernetes, body: Path, tmp_path: Path
) -> None:
    process = run(
        k8s,
        "sized",
        "--body",
        f"@{body}",
        "--slo-p50",
        "1ms",
        "--within",
        "3m",
        "--out",
        str(tmp_path / "size"),
    )
    output, said = process.communicate(timeout=260)
    assert process.returncode == 1, said
    assert "does not hold p50 <= 1 ms" in output
    assert left(service) == []


@pytest.mark.timeout(300)
def test_ctrl_c_leaves_nothing_behind(service: Service, k8s: Kubernetes, body: Path, tmp_path: Path) -> None:
    before, place = living(service), tmp_path / "size"
    process = run(
        k8s, "sized", "--body", f"@{body}", "--slo-p90", "1500ms", "--within", "3m", "--out", str(place)
    )
    end = time.monotonic() + 120
    while not list(place.glob("probes/01/requests-*.jsonl")) and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.2)
    assert left(service)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert "sized-size is removed" in said and "Traceback" not in said
    assert left(service) == []
    assert living(service) == before
    with pytest.raises(UsageError, match="interrupted by Ctrl-C"):
        mlk8s.Sizing.open(place)


def test_what_has_the_copys_name_is_never_touched(service: Service, k8s: Kubernetes, tmp_path: Path) -> None:
    labels = {NAME: "sized-size", "app.kubernetes.io/managed-by": "mlk8s"}
    other = {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "sized-size", "namespace": service.namespace, "labels": labels},
    }  # fmt: skip
    k8s.cluster.create(other)
    try:
        with pytest.raises(Conflict, match="ServiceAccount 'sized-size' is there already"):
            service.size(SLO, inputs=[ROW], directory=tmp_path / "size")
        assert left(service) == ["ServiceAccount sized-size"]
    finally:
        k8s.cluster.delete("ServiceAccount", "sized-size", service.namespace)


def test_a_wrong_request_leaves_nothing_behind(service: Service, tmp_path: Path) -> None:
    wrong = {"inputs": [{"name": "nonsense", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
    with pytest.raises(UsageError, match="the model refuses this request"):
        service.size(SLO, body=wrong, directory=tmp_path / "size")
    assert left(service) == []
    with pytest.raises(UsageError, match="has none"):
        service.size(SLO, inputs=[ROW], gpu_hour_price=1.0, directory=tmp_path / "other")


def test_an_unknown_service_is_told(k8s: Kubernetes) -> None:
    process = run(k8s, "nobody", "--data", "[[1]]", "--slo-p99", "1s")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1 and "no model service is named 'nobody'" in said
