"""Prometheus and the metrics APIs on the real cluster, and that `install` heals and changes nothing twice."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from e2e_tools import live_pods, wait_for
from pods import create_pod, pod

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import discover
from mlk8s.clients.prometheus import Prometheus
from mlk8s.local import platform
from mlk8s.local.handle import Local

# 2.5 requests are in flight all the time, so the counter of request-seconds grows by 2.5 a second.
EXPORTER = """
import http.server, time
began = time.monotonic()
class Metrics(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        value = 2.5 * (time.monotonic() - began)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4"); self.end_headers()
        self.wfile.write(b"# TYPE requests_in_flight_seconds_total counter\\n"
                         b"requests_in_flight_seconds_total{model=\\"m\\"} %.6f\\n" % value)
http.server.ThreadingHTTPServer(("", 8080), Metrics).serve_forever()
"""


@pytest.fixture(scope="module")
def cluster(local_cluster: Local) -> Cluster:
    return Cluster.connect(kubeconfig=local_cluster.kubeconfig)


def quantity(text: str) -> float:
    """The number that a Kubernetes quantity of these APIs stands for."""
    units = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "Ki": 2**10, "Mi": 2**20}
    for unit, factor in units.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def items(cluster: Cluster, path: str) -> list[dict[str, Any]]:
    from mlk8s.errors import NotFound

    try:
        return list(orjson.loads(cluster.raw("GET", path))["items"])
    except NotFound:
        return []


def test_a_pods_metric_reaches_the_hpa_exactly(
    cluster: Cluster, local_cluster: Local, namespace: str, python_pods: str
) -> None:
    labels = {"app.kubernetes.io/name": "flying", "mlk8s.dev/track": "stable"}
    manifest = pod("flying", script=EXPORTER, labels=labels)
    manifest["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    create_pod(local_cluster, namespace, manifest)
    for version in ("v1beta1", "v1beta2"):
        path = f"/apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}/pods/*/requests_in_flight"
        (found,) = wait_for(lambda path=path: items(cluster, path))  # type: ignore[misc]
        assert found["describedObject"]["name"] == "flying"
    # A window that the pod's first seconds fill only in part says less.
    wait_for(lambda: [item for item in items(cluster, path) if abs(quantity(item["value"]) - 2.5) <= 0.2])
    (sample,) = Prometheus(cluster, str(discover(cluster).prometheus)).query(
        f'requests_in_flight_seconds_total{{namespace="{namespace}"}}'
    )
    assert sample.labels["service"] == "flying"
    assert sample.labels["track"] == "stable"


def test_cpu_and_memory_of_nodes_and_pods(cluster: Cluster, local_cluster: Local) -> None:
    (node,) = wait_for(lambda: items(cluster, "/apis/metrics.k8s.io/v1beta1/nodes"))
    assert node["metadata"]["name"] == local_cluster.cluster.node_name
    assert 0 < quantity(node["usage"]["cpu"]) < 64
    path = "/apis/metrics.k8s.io/v1beta1/namespaces/mlk8s-system/pods"
    found = live_pods(cluster, "app.kubernetes.io/name=traefik", "mlk8s-system")
    (name,) = (item["metadata"]["name"] for item in found)
    (traefik,) = wait_for(lambda: [p for p in items(cluster, path) if p["metadata"]["name"] == name])
    (container,) = traefik["containers"]
    assert container["name"] == "traefik"
    assert 10 * 2**20 < quantity(container["usage"]["memory"]) < 256 * 2**20


def test_everybody_may_read_what_the_platform_is_and_nobody_its_keys(cluster: Cluster) -> None:
    def may(resource: str, name: str) -> bool:
        attributes = {"namespace": "mlk8s-system", "verb": "get", "resource": resource, "name": name}
        spec = {"user": "somebody", "groups": ["system:authenticated"], "resourceAttributes": attributes}
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(orjson.loads(cluster.raw("POST", path, body={**kind, "spec": spec}))["status"]["allowed"])

    assert may("configmaps", "mlk8s-platform")
    assert not may("secrets", "mlk8s-storage")


def test_installing_again_heals_and_restarts_nothing_else(cluster: Cluster, local_cluster: Local) -> None:
    def pods() -> dict[str, str]:
        found = live_pods(cluster, namespace="mlk8s-system")
        return {p["metadata"]["labels"]["app.kubernetes.io/name"]: p["metadata"]["uid"] for p in found}

    platform.install(local_cluster)  # the code of this moment: another commit may have made the cluster
    before, said = pods(), discover(cluster)
    cluster.delete("Deployment", "traefik", "mlk8s-system")
    cluster.delete("ConfigMap", "mlk8s-platform", "mlk8s-system")
    cluster.patch("Deployment", "prometheus-adapter", {"spec": {"replicas": 0}}, "mlk8s-system")
    platform.install(local_cluster)
    assert discover(cluster) == said
    # The old pod of a Deployment that was made again goes when the garbage collector has come to it. Whatever
    # optional part other tests have installed stays as it is, too.
    wait_for(lambda: changes(before, pods()) == {"traefik", "prometheus-adapter"})
    assert {"prometheus", "seaweedfs"} <= set(before)


def changes(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if after.get(name) != before[name]}
