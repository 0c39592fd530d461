"""Gateway API on the real cluster: a service answers through a Gateway, or is told why it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import NotFound, RolloutFailed
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.operations.way_in import require_way_in
from mlk8s.storage.models import upload_model

HOST = "gate.example.com"
SMALL = mlk8s.Resources(cpu="50m", cpu_limit=None, memory="192Mi")


@pytest.fixture(scope="module")
def k8s(local_cluster: Local, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes) -> mlk8s.ModelService:
    url = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage()).url
    route = mlk8s.Route(gateway=k8s.platform.gateway)
    return mlk8s.ModelService(name="gate", model=url, replicas=1, route=route, resources=SMALL)


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Service]:
    yield k8s.deploy(spec)


@pytest.fixture(scope="module")
def secure(k8s: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Gateway of the namespace's own that terminates TLS for one host, and whom to trust."""
    pair = mlk8s.self_signed(HOST)
    k8s.create_tls_secret("gate-tls", pair.certificate, pair.key, host=HOST)
    listener: dict[str, Any] = {"name": "tls", "protocol": "HTTPS", "port": 8443, "hostname": HOST}
    listener["tls"] = {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": "gate-tls"}]}
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "secure"},
    }
    k8s.cluster.create(gateway | {"spec": {"gatewayClassName": "traefik", "listeners": [listener]}})
    authority = tmp_path_factory.mktemp("gateway") / "ca.pem"
    authority.write_bytes(pair.certificate)
    yield f"{k8s.namespace}/secure", authority
    k8s.cluster.delete("Gateway", "secure")


def doubles(service: Service) -> bool:
    return bool(service.predict([ROW])["y"].tolist() == [[2 * x for x in ROW]])


def test_a_service_answers_through_the_platforms_gateway(k8s: Kubernetes, service: Service) -> None:
    assert doubles(service)
    assert k8s.cluster.find("Ingress", "gate") is None
    (parent,) = k8s.cluster.get("HTTPRoute", "gate")["status"]["parents"]
    assert {item["type"]: item["status"] for item in parent["conditions"]}["Accepted"] == "True"


def test_what_is_not_there_is_told_before_anything_is_written(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Service
) -> None:
    before = k8s.cluster.get("HTTPRoute", "gate")["metadata"]["generation"]
    for route, words in (
        (mlk8s.Route(gateway="mlk8s-system/nowhere"), "no Gateway 'mlk8s-system/nowhere'"),
        (mlk8s.Route(gateway=k8s.platform.gateway, listener="other"), "no listener 'other'"),
    ):
        with pytest.raises(NotFound, match=words):
            k8s.deploy(spec.replace(route=route))
    assert k8s.cluster.get("HTTPRoute", "gate")["metadata"]["generation"] == before


def test_a_gateway_terminates_tls(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Service, secure: tuple[str, Path]
) -> None:
    gateway, authority = secure
    deployed = k8s.deploy(spec.replace(route=mlk8s.Route(gateway=gateway, host=HOST, listener="tls")))
    assert str(deployed.url).startswith(f"https://{HOST}:")
    assert doubles(deployed.trust(authority))


def test_a_route_that_the_gateway_refuses_is_told_with_its_reason(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Service, secure: tuple[str, Path]
) -> None:
    gateway, _ = secure
    with pytest.raises(RolloutFailed, match="does not take its route: NoMatchingListenerHostname"):
        k8s.deploy(spec.replace(route=mlk8s.Route(gateway=gateway, host="stranger.example.com")))
    assert doubles(k8s.deploy(spec)), "and the way back is open"


def test_a_cluster_without_the_gateway_api_says_so(bare_cluster: Callable[..., Local]) -> None:
    local = bare_cluster("mlk8s-no-gateway", port=18480)
    cluster = Cluster.connect(kubeconfig=local.kubeconfig)
    spec = mlk8s.ModelService(
        name="gate", model="s3://models/gate/1", route=mlk8s.Route(gateway="mlk8s-system/traefik")
    )
    with pytest.raises(NotFound, match="the cluster has no Gateway API"):
        require_way_in(cluster, Platform(), spec, "default")
