"""The Vertical Pod Autoscaler on the real cluster: recommended, applied in place, at admission, by deploy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from e2e_tools import live_pods, wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.errors import NotFound
from mlk8s.local import optional
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.spec.quantity import parse_quantity
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

TOO_MUCH = Resources(cpu="200m", cpu_limit="1", memory="256Mi")
LOWEST, MOST = "12m", "100m"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    optional.install(local_cluster, ["vpa"])
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes) -> mlk8s.ModelService:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    return mlk8s.ModelService(
        name="watched", model=model.url, resources=TOO_MUCH, startup_timeout=30, request_timeout=2,
        vertical=mlk8s.Vertical(
            mode="InPlaceOrRecreate", min={"cpu": LOWEST}, max={"cpu": MOST}, resources=("cpu",)
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Service]:
    yield k8s.deploy(spec)


def pods(k8s: Kubernetes) -> dict[str, dict[str, Any]]:
    """The service's pods that are not ending, by UID."""
    return {p["metadata"]["uid"]: p for p in live_pods(k8s.cluster, "app.kubernetes.io/name=watched")}


def millicores(resources: dict[str, Any], side: str = "requests") -> float:
    return float(parse_quantity(resources[side]["cpu"])) * 1000


def test_pods_are_resized_in_place_without_a_lost_request(k8s: Kubernetes, service: Service) -> None:
    before = pods(k8s)

    def resized() -> bool:
        now = [p["status"]["containerStatuses"][0].get("resources") or {} for p in pods(k8s).values()]
        # The limit keeps its proportion to the request: 5; kubelet may be between the one and the other.
        return all(
            "requests" in item and millicores(item) <= 100
            and millicores(item, "limits") == pytest.approx(5 * millicores(item))
            for item in now
        )  # fmt: skip

    with service.background([ROW], rps=10) as client:
        wait_for(resized, 180)
    assert client.failures() == ()
    after = pods(k8s)
    assert after.keys() == before.keys(), "a pod was replaced"
    for found in after.values():
        (status,) = found["status"]["containerStatuses"]
        assert status["restartCount"] == 0


def test_a_recommendation_is_read_and_within_its_bounds(service: Service) -> None:
    found = service.recommendation()
    assert found is not None
    assert found.cpu is not None
    assert found.memory is None  # resources=("cpu",)
    assert parse_quantity(LOWEST) <= parse_quantity(found.cpu) <= parse_quantity(MOST)
    assert service.predict([ROW])["y"][0, 0] == 2.0


def test_a_new_pod_gets_what_is_recommended(k8s: Kubernetes, service: Service) -> None:
    before = pods(k8s)
    k8s.cluster.delete("Pod", next(iter(before.values()))["metadata"]["name"], grace_seconds=1)
    new = wait_for(lambda: [p for uid, p in pods(k8s).items() if uid not in before])[0]
    (server,) = [c for c in new["spec"]["containers"] if c["name"] == "server"]
    assert millicores(server["resources"]) <= 100
    deployment = k8s.cluster.get("Deployment", "watched")
    (declared,) = deployment["spec"]["template"]["spec"]["containers"]
    assert millicores(declared["resources"]) == 200


def test_a_recommendation_is_deployed(k8s: Kubernetes, service: Service, spec: mlk8s.ModelService) -> None:
    found = service.recommendation()
    assert found is not None
    fitting = spec.replace(vertical=mlk8s.Vertical(), resources=found.resources(spec.resources))
    k8s.deploy(fitting)
    (server,) = k8s.cluster.get("Deployment", "watched")["spec"]["template"]["spec"]["containers"]
    assert millicores(server["resources"]) == float(parse_quantity(str(found.cpu))) * 1000
    assert k8s.cluster.get("VerticalPodAutoscaler", "watched")["spec"]["updatePolicy"]["updateMode"] == "Off"
    k8s.deploy(fitting.replace(vertical=None))
    assert k8s.cluster.find("VerticalPodAutoscaler", "watched") is None
    with pytest.raises(NotFound, match="no VerticalPodAutoscaler watches"):
        service.recommendation()
