"""Revisions on the real cluster: history, undo to one of them, pause, resume, restart, Recreate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_tools import live_pods, uids, wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.errors import Conflict, NotFound, SpecError, UsageError
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.rollout import status
from mlk8s.operations.service import Service
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model
from tests.cli.shell import mlk8s as mlk8s_command

NAME = "waves"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version: N multiplies by N + 1."""
    return {
        version: upload_model(
            scaling(float(version) + 1), f"s3://models/{k8s.namespace}/{version}", config=k8s.storage()
        ).url
        for version in ("1", "2")
    }


@pytest.fixture(scope="module")
def spec(models: dict[str, str]) -> mlk8s.ModelService:
    return mlk8s.ModelService(
        name=NAME, model=models["1"], replicas=1, startup_timeout=20, request_timeout=1,
        resources=Resources(cpu="50m", cpu_limit=None, memory="128Mi"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Service]:
    deployed = k8s.deploy(spec)
    yield deployed
    deployed.delete()


def cli(k8s: Kubernetes, *arguments: str, code: int = 0) -> str:
    """Run `mlk8s ARGUMENTS` in a process of its own; return what it prints, and its messages."""
    place = ("--kubeconfig", k8s.cluster.source, "-n", k8s.namespace)
    done = mlk8s_command(*arguments, *place, timeout=240)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def pods(k8s: Kubernetes) -> set[str]:
    """Return the UIDs of the service's pods that are not ending."""
    return uids(live_pods(k8s.cluster, f"app.kubernetes.io/name={NAME}"))


@pytest.mark.timeout(600)  # six rollouts, and as many processes
def test_history_undo_pause_resume_and_restart_lose_no_request(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    with service.background([ROW], rps=25) as background:
        (first,) = service.history()
        assert (first.number, first.model, first.version, first.ready, first.current, first.cause) == (
            1, models["1"], "1", 1, True, f"deploy {models['1']}",
        )  # fmt: skip
        assert first.digest is not None and first.digest.startswith("sha256:")

        k8s.deploy(spec.replace(model=models["2"]))
        assert [(item.number, item.version, item.current) for item in service.history()] == [
            (1, "1", False), (2, "2", True),
        ]  # fmt: skip
        with pytest.raises(NotFound, match="no revision 9") as told:
            service.undo(to_revision=9)
        assert told.value.expected == "one of: 1, 2"
        with pytest.raises(UsageError, match="revision 2 is the current one"):
            service.undo(to_revision=2)
        assert "back to revision 1" in cli(k8s, "undo", NAME, "--to-revision", "1")
        last = json.loads(cli(k8s, "rollout", "history", NAME, "-o", "json").split("\n]")[0] + "]")[-1]
        assert (last["number"], last["version"], last["cause"]) == (
            3, "1", f"undo to revision 1, {models['1']}",
        )  # fmt: skip

        before = pods(k8s)
        cli(k8s, "rollout", "pause", NAME)
        with pytest.raises(Conflict, match="is paused since"):
            k8s.deploy(spec.replace(model=models["2"]))
        with pytest.raises(Conflict, match="is paused since"):
            service.restart()
        said: list[str] = []
        k8s.deploy(spec.replace(model=models["2"]), wait=False, say=said.append)
        assert any("no pod changes before" in line for line in said), said
        wait_for(lambda: status(k8s.cluster, NAME, k8s.namespace, wait=False).state == "failed")
        assert "its rollout is paused" in cli(k8s, "rollout", "status", NAME, code=1)
        assert pods(k8s) == before
        service.resume()
        # Resuming waits for the pods; the controller hears of those that end a moment later.
        wait_for(lambda: service.predict([ROW]).model_version == "2")
        assert not pods(k8s) & before

        before = pods(k8s)
        service.restart()
        assert not pods(k8s) & before
        last_revision = service.history()[-1]
        assert (last_revision.version, str(last_revision.cause).split(" at ")[0]) == ("2", "restart")
        wait_for(lambda: len(pods(k8s)) == 1)
    summary = background.summary()
    assert summary.failed == 0, summary
    assert set(summary.versions) == {"1", "2"}


def test_recreate_ends_every_pod_first_and_can_have_no_canary(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str]
) -> None:
    with pytest.raises(SpecError, match="max_surge is given with strategy 'Recreate'"):
        spec.replace(strategy="Recreate", max_surge=1)
    k8s.deploy(spec.replace(model=models["1"], strategy="Recreate"))
    listed = k8s.cluster.list("Pod", labels=f"app.kubernetes.io/name={NAME}")
    # The old pod had ended before the new one began, though kubelet may not have taken it away yet.
    assert [item["status"]["phase"] for item in listed].count("Running") == 1
    with pytest.raises(UsageError, match="'Recreate' and can have no canary"):
        service.canary(models["2"])
    k8s.deploy(spec.replace(model=models["2"], max_surge="50%", max_unavailable=0))
    assert k8s.cluster.get("Deployment", NAME)["spec"]["strategy"] == {
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0},
    }  # fmt: skip


def test_no_spare_gpu_for_the_surge_pod_is_said(k8s: Kubernetes, models: dict[str, str]) -> None:
    (node,) = k8s.cluster.list("Node")
    count = int(node["status"]["allocatable"]["nvidia.com/gpu"])
    spec = mlk8s.ModelService(
        name="greedy", model=models["1"], replicas=1, gpu=mlk8s.Gpu(count), route=None,
        resources=Resources(cpu="50m", memory="128Mi"),
    )  # fmt: skip
    service = k8s.deploy(spec, wait=False)
    try:
        wait_for(lambda: service.status().replicas == 1 and scheduled(k8s))
        said: list[str] = []
        k8s.deploy(spec.replace(model=models["2"]), wait=False, say=said.append)
        assert any("no spare GPU for the surge pod" in line for line in said), said
        said.clear()
        k8s.deploy(spec.replace(max_surge=0, max_unavailable=1), wait=False, say=said.append)
        assert not any("spare GPU" in line for line in said), said
    finally:
        service.delete()


def scheduled(k8s: Kubernetes) -> bool:
    found = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=greedy")
    return any(item["spec"].get("nodeName") for item in found)
