"""Horizontal autoscaling on the real cluster: every kind of metric has a value; behaviour is as declared."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson
import pytest
from e2e_tools import wait_for
from onnx_models import ROW, scaling
from pods import create_pod, pod
from typer.testing import CliRunner

import mlk8s
from mlk8s.cli.app import build
from mlk8s.errors import Conflict, NotFound, UsageError
from mlk8s.local import optional, parts
from mlk8s.local.handle import Local
from mlk8s.local.platform_manifests import load_files
from mlk8s.local.progress import open_progress
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.render.facts import RenderFacts
from mlk8s.render.monitors import pod_monitor, service_monitor
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

SMALL = Resources(cpu="50m", cpu_limit=None, memory="192Mi")
QUEUE = mlk8s.Metric(
    name="test_queue_length", kind="external", series="test_jobs_queued", labels={"queue": "a"}, unit="jobs"
)
EXPORTER = """
import http.server
class Metrics(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4"); self.end_headers()
        self.wfile.write(b'test_jobs_queued{queue="a"} 12\\ntest_jobs_queued{queue="b"} 500\\n')
http.server.ThreadingHTTPServer(("", 8080), Metrics).serve_forever()
"""
INSIDE = (
    mlk8s.Follow(metric="cpu", target=1000),
    mlk8s.Follow(metric="memory", target=1000),
    mlk8s.Follow(metric="requests_in_flight", target=50),
    mlk8s.Follow(metric="requests_per_second", target=500),
    mlk8s.Follow(metric="service_requests_per_second", target=1000, per="total"),
)
OUTSIDE = (
    mlk8s.Follow(metric="ingress_requests_per_second", target=1000, per="total"),
    mlk8s.Follow(metric=QUEUE, target=10),
)


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def keda(k8s: Kubernetes) -> bool:
    """Whether a cluster that was kept from another run has KEDA, which then serves the external metrics."""
    return "keda" in optional.installed(k8s.cluster)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes, keda: bool) -> mlk8s.ModelService:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    return mlk8s.ModelService(
        name="scaled", model=model.url, resources=SMALL, startup_timeout=30, request_timeout=2,
        autoscale=mlk8s.Autoscale(
            min=1,
            max=3,
            metrics=INSIDE if keda else INSIDE + OUTSIDE,
            scale_up=mlk8s.Behavior(
                stabilization=3,
                policies=(mlk8s.Policy(type="Pods", value=2, period=30),),
                select="Min",
                tolerance=0.05,
            ),
            scale_down=mlk8s.Behavior(select="Disabled", tolerance=0.2),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def exporter(k8s: Kubernetes, local_cluster: Local, python_pods: str) -> str:
    """A pod that Prometheus scrapes, with a series of its own."""
    manifest = pod("queue", script=EXPORTER)
    manifest["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    create_pod(local_cluster, k8s.namespace, manifest)
    return "queue"


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService, keda: bool, exporter: str) -> Service:
    if not keda:
        k8s.install_metric(QUEUE)
    return k8s.deploy(spec)


def named(metric: dict[str, Any]) -> str:
    inner = metric[metric["type"].lower()]
    return str(inner["name"] if metric["type"] == "Resource" else inner["metric"]["name"])


def current(k8s: Kubernetes, name: str) -> dict[str, dict[str, str]]:
    """The current values that an HPA reports, by metric."""
    status = k8s.cluster.get("HorizontalPodAutoscaler", name).get("status") or {}
    found = {}
    for metric in status.get("currentMetrics") or []:
        if metric["type"]:
            found[named(metric)] = metric[metric["type"].lower()]["current"]
    return found


def conditions(k8s: Kubernetes, name: str) -> dict[str, str]:
    """The conditions that an HPA reports, by type."""
    status = k8s.cluster.get("HorizontalPodAutoscaler", name).get("status") or {}
    return {item["type"]: item["status"] for item in status.get("conditions") or []}


def test_every_kind_of_metric_has_a_value(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    assert spec.autoscale
    wanted = {
        item.metric if isinstance(item.metric, str) else item.metric.name for item in spec.autoscale.followed
    }
    with service.background([ROW], rps=20) as background:
        found = wait_for(lambda: found if (found := current(k8s, "scaled")).keys() >= wanted else None)

        def followed(metric: str, field: str) -> float:
            return float_of(str(current(k8s, "scaled").get(metric, {}).get(field, 0)))

        def sent() -> float:
            records = background.records
            return len(records) / (time.time() - records[0].time)

        # At most three pods share what is sent: 20 a second, less where the machine is busy.
        wait_for(lambda: followed("requests_per_second", "averageValue") > sent() / 4)
        wait_for(lambda: followed("cpu", "averageUtilization") > 0)
    assert 5 < found["memory"]["averageUtilization"] < 200
    if "test_queue_length" in wanted:
        # 12 jobs for one pod or, as soon as they asked for it, two; queue b, of 500 jobs, is not ours.
        assert float_of(found["test_queue_length"]["averageValue"]) in (12, 6)
        assert "value" in found["ingress_requests_per_second"]
    # A single look in which one metric was not served makes it False until the next one.
    wait_for(lambda: conditions(k8s, "scaled").get("ScalingActive") == "True")


def test_a_metric_is_added_listed_and_removed_again(
    k8s: Kubernetes, service: Service, exporter: str, local_cluster: Local
) -> None:
    cluster = ["--kubeconfig", str(local_cluster.kubeconfig)]

    def metric(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(build(), ["metric", *arguments, *cluster])
        return done.exit_code, done.stdout, done.stderr

    name = f"jobs_{k8s.namespace.replace('-', '_')}"
    options = ("--series", "test_jobs_queued", "--aggregate", "max", "--label", "queue=b")
    assert metric("add", name, *options)[0] == 0
    assert f"{name} unchanged" in metric("add", name, *options)[2]
    value = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{k8s.namespace}/pods/*/{name}"
    found = wait_for(lambda: items(k8s, value))  # the adapter's old pod may have one more answer
    assert [(item["describedObject"]["name"], item["value"]) for item in found] == [(exporter, "500")]
    code, text, _ = metric("list")
    assert code == 0
    assert re.search(rf"^{name} +pods +test_jobs_queued +- +max +queue=b$", text, re.MULTILINE), text
    assert name in [item.name for item in k8s.metrics()]
    follows = {"type": "Pods", "pods": {"metric": {"name": name},
                                        "target": {"type": "AverageValue", "averageValue": "1"}}}  # fmt: skip
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"},
        "maxReplicas": 2,
        "metrics": [follows],
    }
    metadata = {"name": "follower", "namespace": k8s.namespace}
    k8s.cluster.create({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                        "metadata": metadata, "spec": body})  # fmt: skip
    code, _, said = metric("remove", name)
    assert code == 0
    assert f"HorizontalPodAutoscaler {k8s.namespace}/follower follows it" in said
    wait_for(lambda: items(k8s, value) == [])
    assert (
        name not in k8s.cluster.get("ConfigMap", "prometheus-adapter", "mlk8s-system")["data"]["config.yaml"]
    )
    with pytest.raises(NotFound, match=f"no metric '{name}' is declared"):
        k8s.remove_metric(name)
    with pytest.raises(UsageError, match="every model service has"):
        k8s.install_metric(mlk8s.Metric(name="requests_per_second", series="x"))


def items(k8s: Kubernetes, path: str) -> list[dict[str, Any]]:
    try:
        return list(orjson.loads(k8s.cluster.raw("GET", path))["items"])
    except NotFound:
        return []


def float_of(text: str) -> float:
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def test_behaviour_and_tolerance_are_as_declared(k8s: Kubernetes, service: Service) -> None:
    behavior = k8s.cluster.get("HorizontalPodAutoscaler", "scaled")["spec"]["behavior"]
    assert behavior["scaleUp"] == {
        "stabilizationWindowSeconds": 3, "selectPolicy": "Min", "tolerance": "50m",
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}],
    }  # fmt: skip
    assert (behavior["scaleDown"]["selectPolicy"], behavior["scaleDown"]["tolerance"]) == ("Disabled", "200m")


def test_the_queue_asks_for_pods_and_gets_them(k8s: Kubernetes, service: Service, keda: bool) -> None:
    """12 jobs at 10 a pod are two pods."""
    if not keda:
        wait_for(lambda: service.status().replicas == 2)


def test_a_second_autoscaler_of_the_same_pods_is_refused(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService
) -> None:
    rival = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "rival", "namespace": k8s.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
            "maxReplicas": 2,
        },
    }
    k8s.cluster.create(rival)
    try:
        with pytest.raises(Conflict, match="'rival' scales Deployment 'scaled'"):
            k8s.deploy(spec)
    finally:
        k8s.cluster.delete("HorizontalPodAutoscaler", "rival")


def test_monitors_are_what_the_prometheus_operator_takes(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    with open_progress() as progress:
        folder = parts.ensure(["prometheus-operator"], progress=progress)["prometheus-operator"]
    facts = RenderFacts(namespace=k8s.namespace)
    for render in (pod_monitor, service_monitor):
        manifest = render(spec, facts)
        plural = f"{manifest['kind'].lower()}s"
        (definition,) = load_files(folder, f"*_{plural}.yaml")
        k8s.cluster.create(definition)
        try:
            kind = f"{manifest['apiVersion']}/{manifest['kind']}"
            wait_for(lambda kind=kind: k8s.cluster.serves(kind))  # type: ignore[misc]
            assert k8s.cluster.apply(manifest)["metadata"]["generation"] == 1
        finally:
            k8s.cluster.delete("CustomResourceDefinition", definition["metadata"]["name"])


def test_what_the_cluster_lacks_is_named_with_the_way_to_get_it(
    k8s: Kubernetes, spec: mlk8s.ModelService
) -> None:
    installed = optional.installed(k8s.cluster)
    goes_to_zero = mlk8s.Autoscale(min=0, max=2, target=4, scaler="keda")
    cases: dict[str, dict[str, Any]] = {
        "keda": {"autoscale": goes_to_zero},
        "vpa": {"autoscale": None, "vertical": mlk8s.Vertical()},
    }
    for part, changes in cases.items():
        if part not in installed:
            with pytest.raises(NotFound) as caught:
                k8s.deploy(spec.replace(name="lacking", **changes))
            assert f"mlk8s up --with {part}" in str(caught.value.next_step)
    assert k8s.cluster.find("Deployment", "lacking") is None


def test_the_metrics_apis_answer_kubectl_top(k8s: Kubernetes, service: Service) -> None:
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{k8s.namespace}/pods"
    wait_for(lambda: any(item["metadata"]["name"].startswith("scaled-") for item in items(k8s, path)))
