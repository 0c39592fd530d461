"""Rollouts that are disturbed on the real cluster: outages, changed and missing pods, no room, kernels.

What dies is in test_canary_kills.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import live_pods, wait_for
from jupyter_client.manager import start_new_kernel
from onnx_models import ROW, broken, scaling
from rollout_process import ERRORS, PATIENT, SERVICE, WAY, Place, controller, prometheus

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Rejected
from mlk8s.local import native
from mlk8s.local.namespaces import Namespaces
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_run import CanaryResult, Told
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.storage.models import upload_model

NAME, CANARY = "shaken", "shaken-canary"
ALWAYS, NEVER = {"X-Canary": "always"}, {"X-Canary": "never"}
GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def system(local_cluster: Any) -> Iterator[Cluster]:
    """A way of the test's own to Prometheus: taking it away harms nobody else."""
    cluster = Cluster.connect(kubeconfig=local_cluster.kubeconfig, namespace="mlk8s-system")
    prometheus(cluster, "prometheus")
    yield cluster
    cluster.delete("Service", SERVICE)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version: 1 doubles, 2 triples, 3 fails on every request."""
    built = {"1": scaling(2.0), "2": scaling(3.0), "3": broken()}
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return {key: upload_model(model, f"{bucket}/{key}", config=config).url for key, model in built.items()}


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, models: dict[str, str]) -> Iterator[Service]:
    deployed = k8s.deploy(mlk8s.ModelService(name=NAME, model=models["1"], replicas=1))
    yield deployed
    deployed.delete()


@pytest.fixture(autouse=True)
def nothing_left(service: Service) -> Iterator[None]:
    yield
    if service.running_canary().status().phase != "none":  # a test failed: the next one begins afresh
        service.running_canary().rollback()


@pytest.fixture
def place(local_cluster: Any, k8s: Kubernetes, system: Cluster, tmp_path: Path) -> Place:
    return Place(str(local_cluster.kubeconfig), k8s.namespace, NAME, str(tmp_path), header="X-Canary")


def test_api_server_away_at_the_start_in_the_blocks_and_at_the_rollback(
    local_cluster: Any, k8s: Kubernetes, service: Service, models: dict[str, str], place: Place
) -> None:
    with (
        service.background([ROW], rps=25) as background,
        controller(place, models["2"], PATIENT) as process,
    ):
        process.until("applied with weight 0")
        with api_server_silent(local_cluster, 12):
            assert versions(service) == {"1"}
        process.until("weight 30")
        process.until(" requests, ")
        with api_server_gone(local_cluster):
            process.until("the API server does not answer")
            assert versions(service, ALWAYS) == {"2"}, "what it had, it keeps"
        process.until("the API server answers again")
        process.until(" requests, ")
        assert rule_weight(k8s) >= 30
        rollout_state.ask(k8s.cluster, NAME, k8s.namespace, "rollback", "a test")
        process.until("roll back: ")
        with api_server_silent(local_cluster, 12):
            pass
        assert process.wait(120) == 0, process.lines
    assert background.failures() == (), background.summary()
    assert ended(k8s) == "rolled back"
    assert service.running_canary().status().phase == "none"
    assert versions(service) == {"1"}


def test_prometheus_that_is_away_from_the_beginning_lets_nothing_get_requests(
    k8s: Kubernetes, service: Service, system: Cluster, models: dict[str, str], place: Place
) -> None:
    before = rollout_state.read(k8s.cluster, NAME, k8s.namespace)
    blind = replace(place, blind=20.0)
    with service.background([ROW], rps=25) as background:
        prometheus(system, "nothing")
        try:
            canary = service.running_canary()
            canary.service.platform = replace(k8s.platform, prometheus=WAY)
            with pytest.raises(ClusterError):
                canary.run(ERRORS, model=models["2"], told=Told(directory=Path(place.directory)))
            assert rollout_state.read(k8s.cluster, NAME, k8s.namespace) == before, "nothing was begun"
            assert k8s.cluster.find("Deployment", CANARY) is None
            prometheus(system, "prometheus")
            with controller(blind, models["2"], PATIENT) as process:
                process.until("applied with weight 0")
                prometheus(system, "nothing")
                process.until("Prometheus does not answer")
                assert rule_weight(k8s) == 0
                # testers reach it by the header all the same, and nobody else does
                assert versions(service, ALWAYS) == {"2"}
                assert versions(service, NEVER) == {"1"} == versions(service)
                process.until("roll back: nothing was seen of it for")
                assert process.wait() == 0
        finally:
            prometheus(system, "prometheus")
    assert background.failures() == (), background.summary()
    assert {item.version for item in background.records} == {"1"}
    assert ended(k8s) == "rolled back"
    assert {"CanaryBlind", "CanaryRolledBack"} <= set(reasons(k8s))


@pytest.mark.parametrize("how", ["no answer", "no samples"])
def test_what_nobody_sees_for_too_long_is_rolled_back(
    k8s: Kubernetes, service: Service, system: Cluster, models: dict[str, str], place: Place, how: str
) -> None:
    blind = replace(place, blind=20.0)
    try:
        with (
            service.background([ROW], rps=25) as background,
            controller(blind, models["2"], PATIENT) as process,
        ):
            process.until(" requests, ")
            if how == "no answer":
                prometheus(system, "nothing")
                process.until("Prometheus does not answer")
            else:
                for pod in live_pods(k8s.cluster, "mlk8s.dev/track=canary"):
                    body = {"metadata": {"annotations": {"prometheus.io/scrape": "false"}}}
                    k8s.cluster.patch("Pod", pod["metadata"]["name"], body)
                process.until("Prometheus has no samples of the canary's pods")
            assert rule_weight(k8s) >= 30, "it is held"
            process.until("roll back: nothing was seen of it for")
            assert process.wait() == 0
    finally:
        prometheus(system, "prometheus")
    assert background.failures() == (), background.summary()
    assert ended(k8s) == "rolled back"
    assert rule_weight(k8s) == 0


def test_changed_pods_are_another_version_and_another_run_takes_back_what_was_left(
    k8s: Kubernetes, service: Service, models: dict[str, str], place: Place, tmp_path: Path
) -> None:
    with service.background([ROW], rps=25) as background:
        with controller(place, models["2"], PATIENT) as process:
            process.until(" requests, ")
            process.until(" requests, ")
            assert versions(service, ALWAYS) == {"2"}
            assert versions(service, NEVER) == {"1"}
            changed = time.time()
            body = {"spec": {"template": {"metadata": {"annotations": {"changed": "once"}}}}}
            k8s.cluster.patch("Deployment", CANARY, body)
            process.until("the evidence begins anew")
            process.until("weight 0")
            process.until("weight 30")
            process.until(" requests, ")
        assert "CanaryReset" in reasons(k8s)
        found = rollout_state.read_all(k8s.cluster, NAME, k8s.namespace)
        assert found is not None
        assert found[1].state is not None
        assert found[1].state["started"] > changed, "all of it is of the new pods"
        assert "nobody works on it" in str(service.running_canary().status())
        with controller(place, models["3"], ERRORS) as process:
            process.until("what was left of the last one is taken back first")
            process.until("the canary is gone")
            process.until(f"canary {models['3']} applied with weight 0")
            process.until("roll back: ")
            assert process.wait() == 0
    assert background.failures(exclude_version="3") == (), background.summary()
    assert ended(k8s) == "rolled back"


def test_canary_without_a_ready_pod_gets_nothing_and_is_rolled_back_in_the_end(
    k8s: Kubernetes, service: Service, models: dict[str, str], place: Place
) -> None:
    blind = replace(place, blind=20.0)
    with (
        service.background([ROW], rps=25) as background,
        controller(blind, models["2"], PATIENT) as process,
    ):
        process.until(" requests, ")
        scale(k8s, 0)
        process.until("none of the canary's pods is ready")
        process.until("weight 0")
        assert rule_weight(k8s) == 0
        scale(k8s, 1)
        process.until("ready again")
        process.until("weight 30")
        process.until(" requests, ")
        scale(k8s, 0)
        process.until("none of the canary's pods is ready")
        process.until("weight 0")
        rollout_state.ask(k8s.cluster, NAME, k8s.namespace, "promote", "a test")
        process.until("not promoted: none of the canary's pods is ready")
        # Nearly a third of the requests failed until the controller had taken the weight up.
        wait_for(lambda: not any(item.error for item in background.records[-50:]))
        gone = time.time()
        process.until("roll back: none of the canary's pods was ready for")
        assert process.wait() == 0
    late = [item for item in background.failures() if item.time > gone]
    assert not late, background.summary()
    assert ended(k8s) == "rolled back"
    assert service.status().model == models["1"]


def test_wishes_before_the_first_weight_are_answered(
    k8s: Kubernetes, service: Service, system: Cluster, models: dict[str, str], place: Place
) -> None:
    try:
        with controller(place, models["2"], PATIENT) as process:
            process.until("applied with weight 0")
            prometheus(system, "nothing")
            process.until("Prometheus does not answer")
            service.running_canary().hold()
            prometheus(system, "prometheus")
            process.until("weight 0")
            process.until("held: ")
            assert rule_weight(k8s) == 0, "a held one is given nothing"
            assert service.running_canary().resume() is None
            process.until("goes on with weight 30")
            service.running_canary().rollback()
            assert process.wait() == 0
    finally:
        prometheus(system, "prometheus")
    assert ended(k8s) == "rolled back"


def test_rollback_that_is_asked_for_while_the_pods_start(
    k8s: Kubernetes, service: Service, models: dict[str, str], place: Place
) -> None:
    with (
        service.background([ROW], rps=25) as background,
        controller(place, models["2"], PATIENT) as process,
    ):
        process.until("applied with weight 0")
        service.running_canary().rollback()
        process.until("asks: rollback")
        process.wait()
    assert {item.version for item in background.records} == {"1"}
    assert background.failures() == (), background.summary()
    assert ended(k8s) in ("failed", "rolled back"), "by whether its pods were ready already"
    assert service.running_canary().status().phase == "none"


def test_route_of_a_gateway(k8s: Kubernetes, models: dict[str, str], tmp_path: Path) -> None:
    route = mlk8s.Route(gateway=k8s.platform.gateway)
    service = k8s.deploy(mlk8s.ModelService(name="gated", model=models["1"], replicas=1, route=route))
    with service.background([ROW], rps=25) as background:
        result = judge(service, models["3"], tmp_path / "failing")
        assert result.outcome == "rolled back", result
        result = judge(service, models["2"], tmp_path / "good")
        assert result.outcome == "promoted", result
    assert background.failures(exclude_version="3") == (), background.summary()
    assert service.status().model == models["2"]
    (rule,) = k8s.cluster.get("HTTPRoute", "gated")["spec"]["rules"]
    assert [item["name"] for item in rule["backendRefs"]] == ["gated"]
    service.delete()


def test_no_gpu_is_free_and_nothing_is_made(k8s: Kubernetes, models: dict[str, str], tmp_path: Path) -> None:
    (node,) = k8s.cluster.list("Node", all_namespaces=True)
    gpus = int(node["status"]["allocatable"][GPU])
    many = "one GPU" if gpus == 1 else f"{gpus} GPUs"
    spec = mlk8s.ModelService(
        name="dear", model=models["1"], replicas=1, gpu=mlk8s.Gpu(gpus, node_selector={})
    )
    service = k8s.deploy(spec)
    with pytest.raises(Rejected, match=rf"the canary needs {many} more, none is free") as told:
        judge(service, models["2"], tmp_path)
    assert "nothing was written" in str(told.value)
    assert k8s.cluster.find("Deployment", "dear-canary") is None
    service.delete()
    service = k8s.deploy(spec.replace(gpu=mlk8s.Gpu(1, node_selector={})))
    k8s.cluster.apply({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus", "namespace": k8s.namespace},
        "spec": {"hard": {f"requests.{GPU}": "1"}},
    })  # fmt: skip
    try:
        used = {f"requests.{GPU}": "1"}  # not those of the pod before, too
        wait_for(lambda: k8s.cluster.get("ResourceQuota", "gpus").get("status", {}).get("used") == used)
        with pytest.raises(Rejected, match=rf"needs 1 of requests\.{GPU}, and ResourceQuota gpus has 0 of 1"):
            judge(service, models["2"], tmp_path)
    finally:
        k8s.cluster.delete("ResourceQuota", "gpus")
    assert service.running_canary().status().phase == "none"
    service.delete()


def test_kernel_that_is_restarted_leaves_a_rollout_that_another_process_finishes(
    k8s: Kubernetes, service: Service, models: dict[str, str], place: Place
) -> None:
    cell = (
        f"import mlk8s; from mlk8s.operations.canary_run import Told; "
        f"k8s = mlk8s.connect(kubeconfig={place.kubeconfig!r}, namespace={k8s.namespace!r}); "
        f"analysis = mlk8s.Analysis(**{PATIENT.model_dump(mode='json', exclude_unset=True)!r}); "
        f"k8s.service({NAME!r}).running_canary().run(analysis, model={models['2']!r}, say=print, "
        f"told=Told(directory={place.directory!r}))"
    )
    manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    try:
        with service.background([ROW], rps=25) as background:
            client.execute(cell)
            said = ""
            while " requests, " not in said:
                content = client.get_iopub_msg(timeout=60)["content"]
                said += content.get("text", "") + "".join(content.get("traceback") or ())
                assert "Traceback" not in said, said
            manager.restart_kernel(now=True)
            status = service.running_canary().status()
            assert (status.phase, status.operator) == ("running", None)
            assert status.weight == rule_weight(k8s) >= 30
            assert "nobody works on it" in str(status)
            with controller(place) as process:
                process.until("blocks are known")
                process.until(" requests, ")
                service.running_canary().promote()
                assert process.wait() == 0
        assert background.failures() == (), background.summary()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert service.status().model == models["2"]


def judge(service: Service, model: str, directory: Path) -> CanaryResult:
    return service.running_canary().run(ERRORS, model=model, told=Told(directory=directory), blind=60)


@contextmanager
def api_server_silent(local: Any, seconds: float) -> Iterator[None]:
    """Stop the API server where it is: requests are taken and not answered, longer than a Lease lasts."""
    pid = Namespaces(local.cluster.directory).running()["kube-apiserver"].pid
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + seconds
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def api_server_gone(local: Any) -> Iterator[None]:
    """End the API server, and start it again."""
    Namespaces(local.cluster.directory).stop("kube-apiserver", timeout=0)
    try:
        yield
    finally:
        cluster = local.cluster
        native.up(cluster.name, port=cluster.port, gpus=cluster.gpus, with_platform=False, yes=True)


def versions(service: Service, headers: dict[str, str] | None = None) -> set[str]:
    """Which versions answer ten requests."""
    path = f"/v2/models/{NAME}"
    return {str(service.inference.request("GET", path, headers=headers).model_version) for _ in range(10)}


def rule_weight(k8s: Kubernetes) -> int:
    rule = k8s.cluster.find("Ingress", CANARY)
    found = rule["metadata"]["annotations"].items() if rule is not None else ()
    return next((int(value) for key, value in found if key.endswith("/canary-weight")), 0)


def scale(k8s: Kubernetes, replicas: int) -> None:
    k8s.cluster.patch("Deployment", CANARY, {"spec": {"replicas": replicas}}, manager="kubectl-scale")


def ended(k8s: Kubernetes) -> str | None:
    found = rollout_state.read(k8s.cluster, NAME, k8s.namespace)
    return found.outcome if found is not None and found.ended else None


def reasons(k8s: Kubernetes) -> list[str]:
    return [item["reason"] for item in k8s.cluster.events(of=k8s.cluster.get("Deployment", NAME))]
