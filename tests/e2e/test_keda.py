"""KEDA on the real cluster: a service goes to zero, requests wake it, it answers; and who serves what."""

from __future__ import annotations

from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.errors import Conflict, Mlk8sError
from mlk8s.local import optional
from mlk8s.local.handle import Local
from mlk8s.local.status import status
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

SMALL = Resources(cpu="50m", cpu_limit=None, memory="192Mi")


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    optional.install(local_cluster, ["keda"])
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes) -> mlk8s.ModelService:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    return mlk8s.ModelService(
        name="sleeper", model=model.url, resources=SMALL, startup_timeout=30, request_timeout=2,
        autoscale=mlk8s.Autoscale(
            min=0, max=2, target=4, scaler="keda", cooldown=5, polling=2, scale_down_stabilization=0
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Service:
    return k8s.deploy(spec)


def answers(service: Service) -> bool:
    try:
        return bool(service.predict([ROW])["y"][0, 0] == 2.0)
    except Mlk8sError:
        return False


def test_a_service_sleeps_wakes_by_requests_and_answers(k8s: Kubernetes, service: Service) -> None:
    assert answers(service)
    # A request counts as demand for 30 s, then the cooldown begins.
    wait_for(lambda: service.status().replicas == 0, 150)
    wait_for(lambda: not k8s.cluster.list("Pod", labels="app.kubernetes.io/name=sleeper"))
    for wanted in ("sleeper", "service/sleeper", "so/sleeper"):  # which is as it should be
        # The status of the Deployment and of KEDA's objects follows the last pod's end.
        wait_for(lambda wanted=wanted: k8s.why(wanted).state == "healthy")  # type: ignore[misc]
        assert k8s.why(wanted).id is None, k8s.why(wanted)
    assert "until a trigger of ScaledObject sleeper wakes it" in k8s.why("sleeper").summary
    assert not answers(service), "somebody answered without a pod"
    wait_for(lambda: answers(service))
    wait_for(lambda: service.status().ready >= 1)  # told a moment after the Ingress has heard of the pod


def test_the_metric_reaches_kedas_autoscaler(k8s: Kubernetes, service: Service) -> None:
    def value() -> str | None:
        found = k8s.cluster.find("HorizontalPodAutoscaler", "keda-hpa-sleeper")
        metrics = ((found or {}).get("status") or {}).get("currentMetrics") or []
        values = [item["external"]["current"].get("averageValue") for item in metrics if item["type"]]
        return "".join(values) if len(values) == 2 and all(values) else None

    with service.background([ROW], rps=20):
        assert wait_for(value)


def test_keda_serves_the_external_metrics_and_a_plain_hpa_is_told(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    autoscale = mlk8s.Autoscale(min=1, max=2, metric="ingress_requests_per_second", target=5)
    with pytest.raises(Conflict, match="KEDA serves this cluster's external metrics"):
        k8s.deploy(spec.replace(name="plain", autoscale=autoscale))
    with pytest.raises(Conflict, match="KEDA serves this cluster's external metrics"):
        k8s.install_metric(mlk8s.Metric(name="queue_length", kind="external", series="jobs_queued"))
    assert k8s.cluster.find("Deployment", "plain") is None


def test_fixed_replicas_take_over_and_kedas_autoscaler_goes(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    values = {name: getattr(spec, name) for name in spec.model_fields_set - {"autoscale"}}
    k8s.deploy(mlk8s.ModelService(**values, replicas=1))
    assert k8s.cluster.find("ScaledObject", "sleeper") is None
    assert k8s.cluster.find("HorizontalPodAutoscaler", "keda-hpa-sleeper") is None
    assert service.status().replicas == 1


def test_the_status_names_the_parts(k8s: Kubernetes, local_cluster: Local) -> None:
    found = status(local_cluster.name)
    assert found is not None
    assert "keda" in found.optional
