"""Hosts, path rules and TLS at the Ingress: a checked certificate, the right name, a redirect."""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.assess.evidence.shadow_record import ShadowRecord
from mlk8s.clients.inference import Inference
from mlk8s.clients.tls import Looking
from mlk8s.errors import NotFound, Rejected, Unreachable, UsageError
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.operations.shadow import FILE
from mlk8s.storage.models import upload_model

HOST = "iris.example.com"
SMALL = mlk8s.Resources(cpu="50m", cpu_limit=None, memory="192Mi")
READY = "/v2/health/ready"


@pytest.fixture(scope="module")
def k8s(local_cluster: Local, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes) -> mlk8s.ModelService:
    url = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage()).url
    route = mlk8s.Route(host=HOST, tls="iris-tls")
    return mlk8s.ModelService(name="iris", model=url, replicas=1, route=route, resources=SMALL)


@pytest.fixture(scope="module")
def authority(k8s: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The self-signed certificate that `mlk8s tls create` leaves behind."""
    folder = tmp_path_factory.mktemp("tls")
    command = [sys.executable, "-m", "mlk8s", "tls", "create", "iris-tls", "--host", HOST]
    command += ["-n", k8s.namespace, "--kubeconfig", str(k8s.cluster.source)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService, authority: Path) -> Iterator[Service]:
    yield k8s.deploy(spec).trust(authority)


def plain_http(k8s: Kubernetes, path: str, host: str = HOST) -> http.client.HTTPResponse:
    """Ask the Ingress without TLS."""
    address = str(k8s.platform.ingress_url).removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", f"/{k8s.namespace}/iris{path}", headers={"Host": host, "Connection": "close"})
    response = connection.getresponse()
    response.read()
    return response


def doubles(service: Service) -> bool:
    return bool(service.predict([ROW])["y"].tolist() == [[2 * x for x in ROW]])


def test_a_missing_or_unfit_certificate_is_told_before_anything_is_written(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    with pytest.raises(NotFound, match="route's Secret 'absent' is not there"):
        k8s.deploy(spec.replace(route=mlk8s.Route(host=HOST, tls="absent")))
    other = mlk8s.self_signed("other.example.com")
    with pytest.raises(UsageError, match=rf"is for other\.example\.com, not for {HOST}"):
        k8s.create_tls_secret("other", other.certificate, other.key, host=HOST)
    k8s.create_tls_secret("other", other.certificate, other.key)
    with pytest.raises(Rejected, match=f"not for {HOST}"):
        k8s.deploy(spec.replace(route=mlk8s.Route(host=HOST, tls="other")))
    assert k8s.cluster.find("Deployment", "iris") is None


def test_https_answers_for_who_trusts_the_authority(k8s: Kubernetes, service: Service) -> None:
    port = str(k8s.platform.ingress_https_url).rpartition(":")[2]
    assert service.url == f"https://{HOST}:{port}/{k8s.namespace}/iris"
    assert doubles(service)
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        k8s.service("iris").predict([ROW])
    stranger = Looking("127.0.0.1", int(port), "stranger.example.com", 30)
    stranger.request("GET", f"/{k8s.namespace}/iris{READY}", headers={"Host": "stranger.example.com"})
    assert stranger.getresponse().status == 404, "another host leads nowhere"
    stranger.close()


def test_http_is_sent_on_to_https(k8s: Kubernetes, service: Service) -> None:
    answer = plain_http(k8s, READY)
    assert answer.status in (301, 308)
    assert str(answer.headers["Location"]).startswith(f"https://{HOST}")


def test_load_goes_through_tls(service: Service, tmp_path: Path) -> None:
    profile = mlk8s.LoadProfile.steps(rps=[5], hold="2s")
    total = service.loadtest(profile, inputs=[ROW], directory=tmp_path / "run").summary.total
    assert total.ok == total.total >= 8


def test_the_command_line_trusts_by_cacert(k8s: Kubernetes, service: Service, authority: Path) -> None:
    command = [sys.executable, "-m", "mlk8s", "predict", "iris", "--data", str([ROW]), "-n", k8s.namespace]
    command += ["--kubeconfig", str(k8s.cluster.source), "--cacert", str(authority)]
    trusted = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert trusted.returncode == 0 and '"outputs"' in trusted.stdout, trusted.stderr


def test_a_canary_is_seen_through_tls(k8s: Kubernetes, service: Service) -> None:
    second = upload_model(scaling(3.0), f"s3://models/{k8s.namespace}/2", config=k8s.storage()).url
    canary = service.canary(second, weight=50, header="X-Canary")
    assert service.predict([ROW], headers={"X-Canary": "always"}).model_version == "2"
    assert canary.split is not None, "the split was observed"
    canary.rollback()


def test_http_stays_open_without_redirect(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Service
) -> None:
    k8s.deploy(spec.replace(route=mlk8s.Route(host=HOST, tls="iris-tls", redirect=False)))
    assert plain_http(k8s, READY).status == 200
    assert doubles(service)


def test_a_shadow_gets_what_comes_by_both_ways(k8s: Kubernetes, service: Service, tmp_path: Path) -> None:
    """HTTP is open here, by the test before."""
    same = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/same", config=k8s.storage()).url
    address = f"{k8s.platform.ingress_url}/{k8s.namespace}/iris"
    ways = {"https": service.inference, "http": Inference(address, model="iris", host=HOST)}
    statuses: dict[str, set[int]] = {name: set() for name in ways}
    over = threading.Event()

    def ask() -> None:
        for number in itertools.count():
            for name, client in ways.items():
                if over.wait(0.05):
                    return
                inputs = [{"name": "x", "datatype": "FP32", "shape": [1, len(ROW)], "data": list(ROW)}]
                body = json.dumps({"id": f"{name}-{number}", "inputs": inputs}).encode()
                statuses[name].add(client.request("POST", "/v2/models/iris/infer", body=body).status)

    users = threading.Thread(target=ask)
    users.start()
    try:
        quick = mlk8s.Shadow(model=same, block=3, bound=0.3, alpha=0.1, beta=0.1, errors="independent")
        result = service.shadow(quick.replace(deadline=60), directory=tmp_path)
    finally:
        over.set()
        users.join()
    assert result.verdict == "agree", result
    assert statuses == {"https": {200}, "http": {200}}
    with (tmp_path / FILE).open() as lines:
        copied = ShadowRecord.read(lines).other
    assert {one.request.partition("-")[0] for one in copied} == set(ways)


def test_only_the_paths_that_are_named_are_let_in(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Service, tmp_path: Path
) -> None:
    """A host without TLS, and a prefix and an exact rule."""
    paths = (mlk8s.PathRule(path="/v2/models"), mlk8s.PathRule(path=READY, type="Exact"))
    hosted = k8s.deploy(spec.replace(route=mlk8s.Route(host=HOST, paths=paths)))
    assert str(hosted.url).startswith(f"http://{HOST}:")
    assert doubles(hosted)
    expected = {READY: 200, f"{READY}/x": 404, "/v2": 404, "/v2/models/iris": 200}
    # The paths of the rule before, which let in all, answer until the controller has heard of these.
    wait_for(lambda: {path: plain_http(k8s, path).status for path in expected} == expected)
    assert plain_http(k8s, READY, host="other.example.com").status == 404
    profile: Any = mlk8s.LoadProfile.steps(rps=[5], hold="2s")
    total = hosted.loadtest(profile, inputs=[ROW], directory=tmp_path / "run").summary.total
    assert total.ok == total.total >= 8
