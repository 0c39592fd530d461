"""Blue/green on the real cluster: switch and back, from several processes, killed in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.errors import Conflict, RolloutFailed, UsageError
from mlk8s.operations.alerts import alerts_of
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.deploy import plan
from mlk8s.operations.diff import diff_service
from mlk8s.operations.service import Service
from mlk8s.render.bluegreen import PREVIEW_HEADER
from mlk8s.spec.load import LoadProfile
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model
from mlk8s.storage.store import Store

NAME = "tides"
KINDS = (
    "Deployment", "ReplicaSet", "Service", "Ingress", "ConfigMap", "PodDisruptionBudget", "ServiceAccount",
    "NetworkPolicy", "HorizontalPodAutoscaler", "Lease",
)  # fmt: skip


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version; 3 has been damaged in the storage."""
    config, urls = k8s.storage(), {}
    for version, factor in (("1", 2.0), ("2", 3.0), ("3", 4.0)):
        reference = upload_model(scaling(factor), f"s3://models/{k8s.namespace}/{version}", config=config)
        urls[version] = reference.url
    (file,) = reference.manifest.files
    Store(reference.url, config).put(reference.manifest.key(file), b"not the model")
    return urls


@pytest.fixture(scope="module")
def spec(models: dict[str, str]) -> mlk8s.ModelService:
    return mlk8s.ModelService(
        name=NAME, model=models["1"], strategy="BlueGreen", retain=10, startup_timeout=60, request_timeout=1,
        resources=Resources(cpu="50m", cpu_limit=None, memory="128Mi"),
        autoscale=mlk8s.Autoscale(min=2, max=3, metric="memory", target=100),
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Service]:
    deployed = k8s.deploy(spec)
    yield deployed
    if k8s.cluster.find("Deployment", NAME) is not None:
        deployed.delete()


def answers(service: Service, headers: dict[str, str] | None = None) -> str | None:
    """Return the model version that answers at the way in."""
    answer = service.inference.request("GET", f"/v2/models/{NAME}", headers=headers)
    return answer.model_version


def scaled(k8s: Kubernetes) -> list[str]:
    """Return the Deployments that an autoscaler scales."""
    found = k8s.cluster.list("HorizontalPodAutoscaler", labels=f"app.kubernetes.io/name={NAME}")
    return [item["spec"]["scaleTargetRef"]["name"] for item in found]


def in_another_process(local: Any, k8s: Kubernetes, verb: str, *, killed_at: str | None = None) -> None:
    """Run a verb of the colours in a process of its own; it kills itself where it says `killed_at`."""
    code = f"""
import mlk8s, os, signal, sys
def say(line):
    print(line, flush=True)
    if {killed_at!r} is not None and {killed_at!r} in line:
        os.kill(os.getpid(), signal.SIGKILL)
k8s = mlk8s.connect(kubeconfig=sys.argv[1], namespace=sys.argv[2])
k8s.service({NAME!r}).colours().{verb}(say=say)
"""
    command = [sys.executable, "-c", code, str(local.kubeconfig), k8s.namespace]
    done = subprocess.run(command, check=False)
    assert done.returncode == (0 if killed_at is None else -signal.SIGKILL)


def test_switch_back_and_forth_and_finish_lose_no_request(
    local_cluster: Any, k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    colours = service.colours()
    with service.background([ROW], rps=25) as background:
        k8s.deploy(spec.replace(model=models["2"]))
        status = colours.status()
        assert (status.phase, status.live, status.idle, status.idle_ready) == ("preview", "blue", "green", 2)
        assert answers(service) == "1"
        assert answers(service, {PREVIEW_HEADER: "always"}) == "2"
        assert scaled(k8s) == [NAME]
        with pytest.raises(UsageError, match="can have no canary"):
            service.canary(models["2"])

        status = colours.switch()
        assert (status.phase, status.live, status.idle, status.retained > 0) == (
            "switched", "green", "blue", True,
        )  # fmt: skip
        assert {answers(service) for _ in range(20)} == {"2"}
        assert scaled(k8s) == [f"{NAME}-green"]
        assert service.status().model == models["2"]
        with pytest.raises(Conflict, match="not possible"):
            k8s.deploy(spec.replace(model=models["1"], max_in_flight=7))
        with pytest.raises(Conflict, match="its versions are its colours"):
            service.undo()

        in_another_process(local_cluster, k8s, "back")
        assert (colours.status().phase, colours.status().live) == ("preview", "blue")
        assert {answers(service) for _ in range(20)} == {"1"}
        wait_for(lambda: answers(service, {PREVIEW_HEADER: "always"}) == "2")

        in_another_process(local_cluster, k8s, "switch", killed_at="the Service leads to")
        status = colours.status()
        assert (status.phase, status.live, status.allowed) == ("switching", "green", ("switch", "back"))
        colours.switch()  # waits until the dead process's Lease is over, then goes on
        assert scaled(k8s) == [f"{NAME}-green"]

        began = time.monotonic()
        status = colours.finish()
        assert time.monotonic() - began > 1  # the old colour was kept
        assert (status.phase, status.live, status.idle, status.allowed) == (
            "single", "green", None, ("deploy",),
        )  # fmt: skip
        wait_for(lambda: pods(k8s, NAME) == 0)
    summary = background.summary()
    assert summary.failed == 0, summary
    assert set(summary.versions) == {"1", "2"}


def test_whatever_is_asked_about_a_service_is_answered_for_its_live_colour(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str], tmp_path: Path
) -> None:
    """Green is live, and blue, which has the service's own name, has no pods."""
    green = f"{NAME}-green"
    assert k8s.cluster.get("Deployment", NAME)["spec"]["replicas"] == 0
    run = service.loadtest(LoadProfile.constant(rps=5, hold="3s"), inputs=[ROW], directory=tmp_path / "run")
    seen = [line for line in run.samples if "deployment" in line]
    assert seen and {line["deployment"]["name"] for line in seen} == {green}
    assert all(line["hpa"]["max"] == 3 for line in seen)
    assert all(row["replicas_ready"] == 2 for row in run.timeline().to_pylist())
    assert run.facts["target"]["model"] == models["2"]
    pods = {pod for line in run.samples for pod in (line.get("server") or {}).get("by_pod") or ()}
    # Prometheus still knows blue's last pods for a while.
    assert len({pod for pod in pods if pod.startswith(f"{green}-")}) == 2

    assert (service.status().model, service.status().ready) == (models["2"], 2)
    assert [item.status() for item in k8s.services()] == [service.status()]
    assert service.why().cause is k8s.why(NAME).cause is None
    assert not [item for item in k8s.why_all() if item.cause is not None]
    assert service.running_canary().status().stable_model == models["2"]
    assert alerts_of(k8s.cluster, NAME, k8s.namespace, mlk8s.Slo(p99="1s")).max_replicas == 3
    host = service.exec(["python3", "-c", "import socket; print(socket.gethostname())"])
    assert host.stdout.startswith(green)

    # mlk8s owns the replicas that green started with until the next deploy hands them over: no difference.
    assert diff_service(k8s.cluster, k8s.platform, NAME) == []

    # A dry run tells of the colour that would change, and keeps what leads to the live one.
    same, other = (
        {(item["kind"], item["metadata"]["name"]) for item in plan(k8s.cluster, k8s.platform, wanted)}
        for wanted in (spec.replace(model=models["2"]), spec.replace(model=models["1"]))
    )
    assert ("Deployment", green) in same and ("Service", f"{NAME}-preview") not in same
    assert ("Deployment", NAME) in other and ("Service", NAME) not in other
    assert {("Ingress", NAME), ("HorizontalPodAutoscaler", green)} <= same & other


def test_a_broken_version_never_gets_a_request_and_the_next_one_takes_its_place(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    colours = service.colours()
    assert colours.status().live == "green"
    with service.background([ROW], rps=25) as background:
        with pytest.raises(
            RolloutFailed, match=r"not the file that was published[^$]*green, with .*, has all requests"
        ):
            k8s.deploy(spec.replace(model=models["3"]))
        status = colours.status()
        assert (status.phase, status.live, status.idle) == ("starting", "green", "blue")

        with pytest.raises(UsageError, match="would be reached at"):
            k8s.deploy(spec.replace(model=models["1"], route=mlk8s.Route(path="/elsewhere")))
        k8s.deploy(spec.replace(model=models["1"]))
        colours.switch()
        assert answers(service) == "1"
        status = colours.finish(now=True)
        assert (status.phase, status.live, status.idle) == ("single", "blue", None)
        assert "mlk8s.dev/bluegreen" not in k8s.cluster.get("Deployment", NAME)["metadata"]["annotations"]
        assert k8s.cluster.find("Deployment", f"{NAME}-green") is None
        assert scaled(k8s) == [NAME]
        wait_for(lambda: pods(k8s, f"{NAME}-green") == 0)
    summary = background.summary()
    assert summary.failed == 0, summary
    assert set(summary.versions) == {"1", "2"}


def test_other_settings_need_no_second_colour_and_delete_leaves_nothing(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    k8s.deploy(spec.replace(autoscale=mlk8s.Autoscale(min=1, max=4, metric="memory", target=100)))
    assert service.colours().status().phase == "single"
    assert k8s.cluster.get("HorizontalPodAutoscaler", NAME)["spec"]["maxReplicas"] == 4
    k8s.deploy(spec.replace(model=models["2"]), wait=False)
    assert service.colours().status().phase == "starting"
    service.delete()
    labels = f"app.kubernetes.io/name={NAME}"
    wait_for(lambda: not [kind for kind in KINDS if k8s.cluster.list(kind, labels=labels)])


def pods(k8s: Kubernetes, instance: str) -> int:
    return len(k8s.cluster.list("Pod", labels=f"app.kubernetes.io/instance={instance}"))
