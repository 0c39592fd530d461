"""A rollout in a notebook's cell on the real cluster: its buttons hold it and roll it back while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_front import Kernel, running_kernel
from onnx_models import ROW, scaling
from rollout_cell import Cell

import mlk8s
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_look import selector
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.storage.models import upload_model

NAME = "watched"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> list[str]:
    """URLs of two versions that both answer."""
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return [upload_model(scaling(n), f"{bucket}/{n:g}", config=config).url for n in (2.0, 3.0)]


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, models: list[str]) -> Iterator[Service]:
    deployed = k8s.deploy(mlk8s.ModelService(name=NAME, model=models[0], replicas=1))
    yield deployed
    deployed.delete()


@pytest.fixture
def kernels() -> Iterator[tuple[Kernel, Kernel]]:
    with running_kernel() as one, running_kernel() as two:
        yield one, two


@pytest.mark.timeout(400)
def test_cell_that_works_on_it_holds_and_rolls_back_at_a_click(
    local_cluster: Any, k8s: Kubernetes, service: Service, models: list[str],
    kernels: tuple[Kernel, Kernel], tmp_path: Path,
) -> None:  # fmt: skip
    with service.background([ROW], rps=15) as background:
        run = f"run(analysis, model={models[1]!r}, told=told)"
        cell = Cell(kernels[0], local_cluster, k8s.namespace, NAME, run, tmp_path)
        cell.until("of the canary")
        assert k8s.cluster.list("Deployment", labels=selector(NAME)), "the canary is there"
        cell.click("Hold")
        cell.until("held: ")
        held = rollout_state.read(k8s.cluster, NAME, k8s.namespace)
        assert held is not None
        assert held.held is not None
        cell.click("Go on")
        cell.front.until(lambda: "held: " not in cell.shown().split("<svg")[0], 120)
        watching = Cell(kernels[1], local_cluster, k8s.namespace, NAME, "watch()", tmp_path)
        watching.until("of the canary")
        cell.click("Roll back")
        cell.click("Yes, roll back")
        left = cell.left()
        seen = watching.left()
    assert background.failures() == (), background.summary()
    assert set(left) == set(seen) == {"text/plain", "text/html", "image/png"}
    assert f"{NAME}: {models[1]} rolled back" in left["text/plain"]
    assert "rolled back" in seen["text/plain"]
    assert k8s.cluster.list("Deployment", labels=selector(NAME)) == []
    status = service.running_canary().status()
    assert (status.phase, status.weight) == ("none", 0)
    assert service.status().model == models[0]


@pytest.mark.timeout(400)
def test_cell_that_only_watches_asks_the_process_that_works(
    local_cluster: Any, k8s: Kubernetes, service: Service, models: list[str],
    kernels: tuple[Kernel, Kernel], tmp_path: Path,
) -> None:  # fmt: skip
    with service.background([ROW], rps=15):
        run = f"run(analysis, model={models[1]!r}, told=told)"
        working = Cell(kernels[0], local_cluster, k8s.namespace, NAME, run, tmp_path)
        working.until("of the canary")
        watching = Cell(kernels[1], local_cluster, k8s.namespace, NAME, "watch()", tmp_path)
        watching.until("of the canary")
        watching.click("Promote")
        watching.click("Yes, promote")
        seen, left = watching.left(), working.left()
    assert "promoted" in seen["text/plain"] and "promoted" in left["text/plain"]
    assert service.status().model == models[1]
    assert k8s.cluster.list("Deployment", labels=selector(NAME)) == []
