"""GPUs by Dynamic Resource Allocation: the real scheduler allocates the devices that a claim asks for.

The devices are entries of a ResourceSlice without a driver, so pods are placed and never started: what the
kubelet and a driver do is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e_tools import wait_for
from onnx_models import scaling

import mlk8s
from mlk8s.errors import NotFound
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

SMALL = Resources(cpu="20m", cpu_limit=None, memory="64Mi")
API = "resource.k8s.io/v1"


@pytest.fixture(scope="module")
def k8s(local_cluster: Local, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def device_class(k8s: Kubernetes) -> Iterator[str]:
    """A class of two devices, of 8 and of 80 GiB."""
    driver = f"{k8s.namespace}.mlk8s.test"
    expression = f"device.driver == '{driver}'"
    made = [
        {
            "apiVersion": API,
            "kind": "DeviceClass",
            "metadata": {"name": driver},
            "spec": {"selectors": [{"cel": {"expression": expression}}]},
        },
        {
            "apiVersion": API,
            "kind": "ResourceSlice",
            "metadata": {"name": driver},
            "spec": {
                "driver": driver,
                "allNodes": True,
                "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
                "devices": [
                    {"name": f"gpu-{size}", "capacity": {"memory": {"value": f"{size}Gi"}}}
                    for size in (8, 80)
                ],
            },
        },
    ]
    for item in made:
        k8s.cluster.create(item)
    yield driver
    for item in made:
        k8s.cluster.delete(f"{API}/{item['kind']}", driver)


def allocated(k8s: Kubernetes) -> list[str]:
    """Devices that claims of the namespace have."""
    claims = k8s.cluster.list("ResourceClaim")
    results = [
        item.get("status", {}).get("allocation", {}).get("devices", {}).get("results", []) for item in claims
    ]
    return sorted(result["device"] for found in results for result in found)


def unscheduled(k8s: Kubernetes) -> list[str]:
    pods = k8s.cluster.list("Pod", labels="app.kubernetes.io/name=accelerated")
    conditions = [item for pod in pods for item in pod["status"].get("conditions", [])]
    return [
        str(item.get("message"))
        for item in conditions
        if item["type"] == "PodScheduled" and item["status"] == "False"
    ]


def test_the_scheduler_allocates_the_device_that_fits(k8s: Kubernetes, device_class: str) -> None:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    large = f"device.capacity['{device_class}'].memory.compareTo(quantity('40Gi')) > 0"
    spec = mlk8s.ModelService(
        name="accelerated", model=model.url, replicas=2, route=None, resources=SMALL, startup_timeout=20,
        gpu=mlk8s.Gpu(1, device_class=device_class, selectors=(large,)), strategy="BlueGreen",
    )  # fmt: skip
    service = k8s.deploy(spec, wait=False)
    wait_for(lambda: allocated(k8s) == ["gpu-80"])
    # The other pod gets no device: only one is large.
    wait_for(lambda: any("cannot allocate all claims" in words for words in unscheduled(k8s)))
    container = k8s.cluster.get("Deployment", "accelerated")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["claims"] == [{"name": "gpu"}]
    assert "nvidia.com/gpu" not in container["resources"]["limits"], "never both forms"
    k8s.deploy(spec.replace(max_in_flight=7), wait=False)
    assert len(k8s.cluster.list("ResourceClaimTemplate")) == 2, "each colour has its own"
    service.colours().finish()
    assert len(k8s.cluster.list("ResourceClaimTemplate")) == 1
    service.delete()
    assert not k8s.cluster.list("ResourceClaimTemplate")
    wait_for(lambda: not k8s.cluster.list("ResourceClaim"))


def test_a_class_that_is_not_there_is_told_before_anything_is_written(
    k8s: Kubernetes, device_class: str
) -> None:
    spec = mlk8s.ModelService(name="classless", model="s3://models/x/1", gpu=mlk8s.Gpu(1, dra=True))
    with pytest.raises(NotFound, match=r"there is no DeviceClass 'gpu\.nvidia\.com'") as told:
        k8s.deploy(spec)
    assert device_class in str(told.value)
    assert k8s.cluster.find("Deployment", "classless") is None
