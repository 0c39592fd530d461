"""A client stays with the version that answered it first, and is sent back when the canary goes."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from onnx_models import scaling

import mlk8s
from mlk8s.errors import SpecError
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.storage.models import upload_model

NAME = "sticky"
COOKIE = "mlk8s-version"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    built = {"1": scaling(2.0), "2": scaling(3.0)}
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return {key: upload_model(model, f"{bucket}/{key}", config=config).url for key, model in built.items()}


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, models: dict[str, str]) -> Iterator[Service]:
    deployed = k8s.deploy(mlk8s.ModelService(name=NAME, model=models["1"], replicas=1))
    yield deployed
    deployed.delete()


def test_clients_stay_until_the_canary_goes(
    k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    canary = service.canary(models["2"], weight=50, cookie=COOKIE, header="X-Canary")
    assert f"cookie:   {COOKIE}" in str(canary.status())
    assert canary.split is not None
    clients = [Client(service) for _ in range(12)]
    first = [client.ask() for client in clients]
    assert set(first) == {"1", "2"}, "the weight is a share of new clients"
    for _ in range(5):
        assert [client.ask() for client in clients] == first
    # the header decides before the cookie, in both directions
    assert {client.ask({"X-Canary": "always"}) for client in clients} == {"2"}
    assert {client.ask({"X-Canary": "never"}) for client in clients} == {"1"}
    canary.rollback()
    assert {client.ask() for client in clients} == {"1"}
    ingress = k8s.cluster.get("Ingress", NAME)
    assert not [
        key for key in ingress["metadata"].get("annotations", {}) if "cookie" in key or "affinity" in key
    ]


def test_a_cookies_name_is_checked() -> None:
    with pytest.raises(SpecError, match="cookie's name"):
        mlk8s.Canary(model="s3://models/a/1", cookie="a; b")


class Client:
    """Somebody who keeps the cookies that are set."""

    def __init__(self, service: Service) -> None:
        self._url, self._cookies = urlsplit(str(service.url)), dict[str, str]()

    def ask(self, headers: dict[str, str] | None = None) -> str | None:
        """Return the version that answers."""
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=10)
        cookies = "; ".join(f"{key}={value}" for key, value in self._cookies.items())
        try:
            connection.request(
                "GET", f"{self._url.path}/v2/models/{NAME}", headers={**(headers or {}), "Cookie": cookies}
            )
            answer = connection.getresponse()
            answer.read()
            for line in answer.headers.get_all("Set-Cookie") or ():
                key, _, value = line.partition(";")[0].partition("=")
                self._cookies[key] = value
            return answer.headers.get("X-Model-Version")
        finally:
            connection.close()
