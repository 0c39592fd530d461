"""Every type of Service answers a real request: from inside a pod, or from the machine."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from e2e_tools import live_pods, wait_for
from onnx_models import ROW, scaling
from pods import ask, create_pod, pod

import mlk8s
from mlk8s.errors import Conflict, NotFound, Rejected, Unreachable
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.storage.models import upload_model

SMALL = mlk8s.Resources(cpu="50m", cpu_limit=None, memory="192Mi")
# Answers what the cluster's DNS says of a name, and what an HTTP server says, under a Host header of its own.
CLIENT = r"""
import http.server, json, socket, urllib.parse, urllib.request
class Asked(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.path).query))
        try:
            if "name" in query:
                found = socket.getaddrinfo(query["name"], 80, socket.AF_INET, socket.SOCK_STREAM)
                answer = ",".join(sorted({item[4][0] for item in found}))
            else:
                answer = str(urllib.request.urlopen(query["url"], timeout=10).status)
        except OSError as error:
            answer = f"{type(error).__name__}: {error}"
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(answer).encode())
http.server.ThreadingHTTPServer(("", 8000), Asked).serve_forever()
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Local, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes) -> mlk8s.ModelService:
    """A service without a route: whatever answers is its Service."""
    url = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage()).url
    return mlk8s.ModelService(name="plain", model=url, replicas=1, route=None, resources=SMALL)


@pytest.fixture(scope="module")
def from_inside(local_cluster: Local, k8s: Kubernetes, python_pods: str) -> Callable[..., str]:
    """Ask from a pod of the namespace: `name=` for the DNS, `url=` for an HTTP status."""
    address = create_pod(local_cluster, k8s.namespace, pod("client", script=CLIENT))

    def asked(**query: str) -> str:
        ((kind, value),) = query.items()
        return ask(address, f"/?{kind}={value}")

    return asked


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Any]:
    yield k8s.deploy(spec.replace(service_type="LoadBalancer"))


def doubles(service: Any) -> bool:
    answer = service.predict([ROW])["y"].tolist()
    return bool(answer == [[2 * x for x in ROW]])


def service_spec(k8s: Kubernetes, name: str) -> dict[str, Any]:
    return dict(k8s.cluster.get("Service", name)["spec"])


def test_a_load_balancer_answers_from_the_machine(k8s: Kubernetes, service: Any) -> None:
    status = k8s.cluster.get("Service", "plain")["status"]["loadBalancer"]["ingress"]
    assert urlsplit(service.url).hostname == status[0]["ip"]
    wait_for(lambda: not refused(service))
    assert doubles(service)


def test_two_load_balancers_have_an_address_each_and_one_of_another_class_none(k8s: Kubernetes) -> None:
    def balancer(name: str, **fields: Any) -> None:
        ports = [{"port": 8080}]
        body = {"type": "LoadBalancer", "selector": {"app": "none"}, "ports": ports, **fields}
        manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}
        k8s.cluster.create(manifest)

    def addresses(name: str) -> list[str]:
        status = k8s.cluster.get("Service", name)["status"]["loadBalancer"]
        return [item["ip"] for item in status.get("ingress") or []]

    balancer("foreign", loadBalancerClass="example.com/other")
    balancer("second")
    wait_for(lambda: addresses("second"))
    assert addresses("second") != addresses("plain") and addresses("foreign") == []
    for name in ("foreign", "second"):
        k8s.cluster.delete("Service", name)


def test_only_the_source_ranges_may_call(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Any, local_cluster: Local
) -> None:
    strangers = mlk8s.ServiceType("LoadBalancer", source_ranges=("192.0.2.0/24",))
    k8s.deploy(spec.replace(service_type=strangers))

    def told() -> str:
        """What a client with a connection of its own hears; kube-proxy follows the Service a moment later."""
        try:
            k8s.service("plain").predict([ROW])
        except Unreachable as error:
            return str(error)
        return ""

    assert re.search(r"no connection to the model server: Connection to [0-9.]+ timed out", wait_for(told))
    assert refused(service), "a stranger's request came through"
    machine = f"{local_cluster.cluster.machine_address}/32"
    k8s.deploy(spec.replace(service_type=mlk8s.ServiceType("LoadBalancer", source_ranges=(machine,))))
    wait_for(lambda: not refused(service))


def refused(service: Any) -> bool:
    parts = urlsplit(service.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=3)
    try:
        connection.request("GET", f"{parts.path}/v2/health/ready")
        return connection.getresponse().status != 200
    except OSError:
        return True
    finally:
        connection.close()


def test_a_node_port_answers_on_the_node(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Any, local_cluster: Local
) -> None:
    said: list[str] = []
    node_port = mlk8s.ServiceType("NodePort", node_port=31808)
    service = k8s.deploy(spec.replace(service_type=node_port), say=said.append)
    assert f" at {service.url} after " in said[-1]
    assert service.url == f"http://{local_cluster.cluster.node_address}:31808/{k8s.namespace}/plain"
    wait_for(lambda: not refused(service))
    assert doubles(k8s.service("plain"))
    # The address is given back.
    wait_for(lambda: not k8s.cluster.get("Service", "plain")["status"]["loadBalancer"])


def test_a_node_port_that_is_taken_is_refused_in_one_sentence(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Any
) -> None:
    other = mlk8s.ServiceType("NodePort", node_port=31808)
    with pytest.raises(Rejected, match="provided port is already allocated"):
        k8s.deploy(spec.replace(name="other", service_type=other))
    k8s.service("plain")


def test_an_ingress_class_that_is_not_there_is_refused_before_anything_is_written(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    lost = spec.replace(name="lost", route=mlk8s.Route(ingress_class="ngin"))
    with pytest.raises(NotFound, match="there is no IngressClass 'ngin'") as error:
        k8s.deploy(lost)
    assert "nginx" in str(error.value.expected)
    assert k8s.cluster.find("Deployment", "lost") is None


def test_a_cluster_ip_answers_inside_only(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Any, from_inside: Callable[..., str]
) -> None:
    service = k8s.deploy(spec)
    assert service.url is None
    assert service_spec(k8s, "plain")["type"] == "ClusterIP"
    ready = f"http://plain.{k8s.namespace}.svc:8080/v2/health/ready"
    wait_for(lambda: from_inside(url=ready) == "200")
    assert from_inside(name=f"plain.{k8s.namespace}.svc") == service_spec(k8s, "plain")["clusterIP"]


def test_a_headless_service_returns_every_pods_address(
    k8s: Kubernetes, spec: mlk8s.ModelService, service: Any, from_inside: Callable[..., str]
) -> None:
    headless = spec.replace(service_type="Headless", replicas=2)
    with pytest.raises(Conflict, match="never makes a headless one of it"):
        k8s.deploy(headless)
    k8s.cluster.delete("Service", "plain")
    k8s.deploy(headless)
    pods = live_pods(k8s.cluster, "app.kubernetes.io/name=plain")
    wanted = ",".join(sorted(item["status"]["podIP"] for item in pods))
    assert wanted.count(",") == 1
    wait_for(lambda: from_inside(name=f"plain.{k8s.namespace}.svc") == wanted)
    ready = f"http://plain.{k8s.namespace}.svc:8080/v2/health/ready"
    wait_for(lambda: from_inside(url=ready) == "200")


def test_an_external_name_leads_to_its_host(k8s: Kubernetes, from_inside: Callable[..., str]) -> None:
    endpoint = urlsplit(str(k8s.platform.s3_endpoint))
    host = f"{endpoint.hostname}.cluster.local"
    k8s.apply(mlk8s.ExternalName(name="storage", host=host))
    there = from_inside(name=host)
    assert ipaddress.ip_address(there)
    wait_for(lambda: from_inside(name=f"storage.{k8s.namespace}.svc") == there)
    answer = from_inside(url=f"http://storage.{k8s.namespace}.svc:{endpoint.port}/")
    assert "403" in answer or answer == "200", f"the storage itself answers: {json.dumps(answer)}"
    k8s.remove("ExternalName", "storage")
    assert k8s.cluster.find("Service", "storage") is None
