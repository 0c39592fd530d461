"""The way in, on the real cluster: Ingress, canaries by annotation, HTTPRoutes; how soon a change is live."""

from __future__ import annotations

import http.client
import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_tools import wait_for
from pods import create_pod, pod

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import discover
from mlk8s.local.handle import Local

SERVER = """
import http.server, os
class Named(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or delayed acknowledgements make it 40 ms a request
    def log_message(self, *a): pass
    def do_GET(self): self.answer(os.environ["NAME"].encode())
    def do_POST(self):
        self.answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode())
    def answer(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Named).serve_forever()
"""
NGINX = "nginx.ingress.kubernetes.io"


class Site:
    """Two versions of a service, and requests to them from outside."""

    def __init__(self, local: Local, namespace: str) -> None:
        self.cluster = Cluster.connect(kubeconfig=local.kubeconfig, namespace=namespace)
        self.namespace, self.port = namespace, local.cluster.ports[0]
        for name in ("v1", "v2"):
            env = [{"name": "NAME", "value": name}]
            create_pod(local, namespace, pod(name, script=SERVER, labels={"app": name}, env=env))
            self.apply(
                "v1",
                "Service",
                name,
                {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
            )

    def apply(
        self, version: str, kind: str, name: str, spec: Any, annotations: dict[str, str] | None = None
    ) -> None:
        metadata = {"name": name, "namespace": self.namespace, "annotations": annotations or {}}
        self.cluster.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})

    def ingress(self, name: str, service: str, path: str, annotations: dict[str, str] | None = None) -> None:
        backend = {"service": {"name": service, "port": {"number": 80}}}
        paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
        spec = {"ingressClassName": "nginx", "rules": [{"http": {"paths": paths}}]}
        self.apply("networking.k8s.io/v1", "Ingress", name, spec, annotations)

    def ask(self, path: str, count: int = 1, headers: dict[str, str] | None = None) -> Counter[str]:
        """Who answered how often; another status than 200 counts as its number."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        answers: Counter[str] = Counter()
        for _ in range(count):
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            body = response.read().decode()
            answers[body if response.status == 200 else str(response.status)] += 1
        connection.close()
        return answers

    def until(self, path: str, name: str, headers: dict[str, str] | None = None, within: float = 90) -> float:
        """Seconds until four answers in a row are all from one version."""
        began = time.monotonic()
        while (answers := self.ask(path, 4, headers)) != {name: 4}:
            assert time.monotonic() < began + within, answers
            time.sleep(0.02)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def site(local_cluster: Local, namespace: str, python_pods: str) -> Iterator[Site]:
    yield Site(local_cluster, namespace)


def assert_split(answers: Counter[str], share: float) -> None:
    """The canary's share is within four standard deviations of the binomial, and nothing failed."""
    total = answers.total()
    assert set(answers) <= {"v1", "v2"}, answers
    assert abs(answers["v2"] - total * share) <= 4 * math.sqrt(total * share * (1 - share)), answers


def test_ingress_leads_to_the_pod(site: Site) -> None:
    path = f"/{site.namespace}/plain"
    assert site.ask(path) == {"404": 1}
    site.ingress("plain", "v1", path)
    site.until(f"{path}/deep/er", "v1")
    assert site.ask(f"{path}er") == {"404": 1}, "Prefix matches whole path elements"


def test_a_large_tensor_passes(site: Site) -> None:
    path = f"/{site.namespace}/large"
    site.ingress("large", "v1", path)
    site.until(path, "v1")
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("POST", path, body=bytes(8_000_000))  # ingress-nginx's default would refuse 1 MiB
    assert connection.getresponse().read() == b"8000000"
    connection.close()


def test_canary_by_weight_and_header(site: Site) -> None:
    path = f"/{site.namespace}/canary"
    site.ingress("main", "v1", path)
    site.until(path, "v1")
    canary = {
        f"{NGINX}/canary": "true",
        f"{NGINX}/canary-by-header": "X-Canary",
        f"{NGINX}/canary-weight": "20",
    }
    site.ingress("canary", "v2", path, canary)
    site.until(path, "v2", {"X-Canary": "always"})
    assert_split(site.ask(path, 300), 0.2)
    assert site.ask(path, 30, {"X-Canary": "always"}) == {"v2": 30}
    assert site.ask(path, 30, {"X-Canary": "never"}) == {"v1": 30}

    # The quickest of some: what a busy machine adds is nothing that the controller waits for.
    took = []
    for weight, name in (("100", "v2"), ("0", "v1")) * 2:
        site.ingress("canary", "v2", path, {**canary, f"{NGINX}/canary-weight": weight})
        took.append(site.until(path, name))
    assert min(took) < 2, f"a new weight took {took} s"
    site.ingress("canary", "v2", path, {**canary, f"{NGINX}/canary-weight": "100"})
    site.until(path, "v2")
    site.cluster.delete("Ingress", "canary", site.namespace)
    site.until(path, "v1")


def test_http_route_by_weight_and_header(site: Site) -> None:
    namespace, _, gateway = str(discover(site.cluster).gateway).partition("/")
    path = {"path": {"type": "PathPrefix", "value": f"/{site.namespace}/route"}}

    def backends(**weights: int) -> list[dict[str, Any]]:
        return [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]

    header = {"headers": [{"name": "X-Canary", "value": "always"}]}
    rules = [
        {"matches": [path | header], "backendRefs": backends(v2=1)},
        {"matches": [path], "backendRefs": backends(v1=75, v2=25)},
    ]
    spec = {"parentRefs": [{"name": gateway, "namespace": namespace}], "rules": rules}
    site.apply("gateway.networking.k8s.io/v1", "HTTPRoute", "route", spec)
    site.until(f"/{site.namespace}/route", "v2", {"X-Canary": "always"})
    assert_split(site.ask(f"/{site.namespace}/route", 300), 0.25)


def test_a_pod_that_goes_takes_no_request_with_it(site: Site, local_cluster: Local) -> None:
    path = f"/{site.namespace}/leaving"
    for name in ("stays", "goes"):
        env = [{"name": "NAME", "value": name}]
        grace = {"lifecycle": {"preStop": {"sleep": {"seconds": 8}}}}
        manifest = pod(name, script=SERVER, labels={"app": "both"}, env=env, terminationGracePeriodSeconds=10)
        manifest["spec"]["containers"][0] |= grace
        create_pod(local_cluster, site.namespace, manifest)
    ports = [{"port": 80, "targetPort": 8080}]
    site.apply("v1", "Service", "both", {"selector": {"app": "both"}, "ports": ports})
    site.ingress("leaving", "both", path)
    wait_for(lambda: set(site.ask(path, 10)) == {"stays", "goes"})
    site.cluster.delete("Pod", "goes", site.namespace)
    answers: Counter[str] = Counter()

    def gone() -> bool:
        answers.update(site.ask(path, 20))
        return site.cluster.find("Pod", "goes", site.namespace) is None

    wait_for(gone)
    assert set(answers) <= {"stays", "goes"}, answers
    assert site.ask(path, 20) == {"stays": 20}
