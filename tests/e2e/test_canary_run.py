"""Canaries decided by evidence on the real cluster: verdicts, outages, kills; nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import ROW, broken, scaling, slow
from rollout_process import (
    ERRORS,
    PATIENT,
    QUICK,
    SERVICE,
    Place,
    controller,
    prometheus,
)

import mlk8s
from mlk8s.assess.evidence import Record
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Conflict, Rejected, UsageError
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_run import CanaryResult, Told
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.render.canary import WEIGHT
from mlk8s.storage.models import upload_model

NAME = "judged"
LATENCY = mlk8s.Analysis(slo=mlk8s.Slo(p50="25ms"), **QUICK)


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
    """URLs by version: 1 doubles, 2 triples, 3 fails on every request, 4 takes long."""
    built = {"1": scaling(2.0), "2": scaling(3.0), "3": broken(), "4": slow(1_500)}
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return {key: upload_model(model, f"{bucket}/{key}", config=config).url for key, model in built.items()}


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, models: dict[str, str]) -> Iterator[Service]:
    deployed = k8s.deploy(mlk8s.ModelService(name=NAME, model=models["1"], replicas=1))
    yield deployed
    deployed.delete()
    assert rollout_state.read(k8s.cluster, NAME, k8s.namespace) is None


@pytest.fixture(autouse=True)
def nothing_left(service: Service) -> Iterator[None]:
    yield
    if service.running_canary().status().phase != "none":  # a test failed: the next one begins afresh
        service.running_canary().rollback()


def test_failing_version_is_rolled_back_and_everybody_is_told(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    with hook() as (url, verdicts), service.background([ROW], rps=25) as background:
        result = judge(service, ERRORS, models["3"], Told(directory=tmp_path, webhook=url))
        rolled_back = time.time()
        wait_for(lambda: background.records[-1].time > rolled_back + 1)
    assert (result.outcome, result.promoted) == ("rolled back", False)
    assert result.decision is not None
    assert result.decision.verdict == "rollback"
    assert result.decision.metric("errors").bad > 0
    assert "worse than the SLO" in result.why[0]
    # what failed is what the bad version answered, and nothing else
    assert background.failures(exclude_version="3") == (), background.summary()
    assert not [item for item in background.records if item.time > rolled_back and item.version != "1"]
    with (tmp_path / "evidence.jsonl").open() as file:
        record = Record.read(file)
    assert record.differences() == []
    assert record.replay()[-1].verdict == "rollback"
    assert [item["verdict"] for item in verdicts] == ["rollback"]
    assert verdicts[0]["decision"]["queries"]["requests"].startswith("{__name__")
    deployment = k8s.cluster.get("Deployment", NAME)
    reasons = [item["reason"] for item in k8s.cluster.events(of=deployment)]
    assert {"CanaryStarted", "CanaryRolledBack"} <= set(reasons)
    status = service.running_canary().status()
    assert status.phase == "none"
    assert "rolled back" in str(status)


def test_slow_version_is_rolled_back(service: Service, models: dict[str, str], tmp_path: Path) -> None:
    with service.background([ROW] * 64, rps=10) as background:
        result = judge(service, LATENCY, models["4"], Told(directory=tmp_path))
    assert result.outcome == "rolled back", result
    assert "above 25 ms" in result.why[0]
    assert background.failures() == ()


def test_without_traffic_it_waits_and_neither_passes_nor_fails(
    service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    short = ERRORS.replace(deadline="17s", block="4s", at_deadline="hold")
    result = judge(service, short, models["2"], Told(directory=tmp_path))
    assert result.outcome == "inconclusive"
    with (tmp_path / "evidence.jsonl").open() as file:
        verdicts = [decision.verdict for _, decision in Record.read(file).entries]
    assert set(verdicts[:-1]) == {"waiting"}
    assert result.api_rate is not None
    assert result.api_rate <= 2
    status = service.running_canary().status()
    assert (status.phase, status.weight) == ("running", 30), "`hold` keeps what was"
    service.running_canary().rollback()


def test_outage_second_controller_edit_by_hand_and_kill_in_one_rollout(
    local_cluster: Any, k8s: Kubernetes, service: Service, system: Cluster, models: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    patient = PATIENT.replace(bake="90s")
    with service.background([ROW], rps=25) as background:
        place = Place(str(local_cluster.kubeconfig), k8s.namespace, NAME, str(tmp_path))
        with controller(place, models["2"], patient) as first:
            first.until(" requests, ")
            with pytest.raises(Conflict, match=rf"is refused: .*:{first.pid}:"):
                judge(service, patient, models["2"], Told(directory=tmp_path / "second"))
            prometheus(system, "nothing")
            first.until("Prometheus does not answer")
            weight = service.running_canary().status().weight
            first.until("nothing seen")
            assert service.running_canary().status().weight == weight, "it is held"
            prometheus(system, "prometheus")
            first.until("sees the canary again")
            body = {"metadata": {"annotations": {WEIGHT: "33"}}}
            k8s.cluster.patch("Ingress", f"{NAME}-canary", body, manager="kubectl-annotate")
            first.until("set from")
            first.until("requests, ")
            status = service.running_canary().status()
            assert status.weight == 33, "what was set by hand is left"
            assert status.rollout is not None
            assert "to 33 by kubectl-annotate" in status.rollout["held"]
        status = service.running_canary().status()
        assert (status.phase, status.weight, status.operator) == ("running", 33, None)
        assert "nobody works on it" in str(status)
        # the one that goes on still holds; another process releases it, and it is promoted
        with controller(place) as second:
            second.until("blocks are known")
            second.until("requests, ")
            assert service.running_canary().resume() is None
            second.until("has all requests; the canary is gone", 180)
            assert second.wait() == 0
    assert background.failures() == (), background.summary()
    assert service.status().model == models["2"]
    assert service.running_canary().status().phase == "none"


def test_rollback_that_is_refused_is_loud_and_done_by_the_next(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    said: list[str] = []
    with service.background([ROW], rps=25):
        with refused_deletes(k8s), pytest.raises(ClusterError, match="could not be rolled back") as told:
            judge(service, ERRORS, models["3"], Told(directory=tmp_path), say=said.append)
        assert f"kubectl annotate ingress -n {k8s.namespace} {NAME}-canary" in str(told.value)
        assert sum("ROLLBACK FAILED" in line for line in said) == 5
        status = service.running_canary().status()
        assert (status.phase, status.weight) == ("rolling-back", 0), "the requests were taken away first"
        result = service.running_canary().resume(told=Told(directory=tmp_path / "again"))
    assert result is not None
    assert result.outcome == "rolled back"
    assert service.running_canary().status().phase == "none"


def test_no_room_and_no_rollout_are_told_before_anything_is_made(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": k8s.namespace},
        "spec": {"hard": {"pods": "1"}},
    }  # fmt: skip
    k8s.cluster.apply(quota)
    try:
        # Only of the service's pod: the last canary's may still be ending.
        wait_for(
            lambda: k8s.cluster.get("ResourceQuota", "few").get("status", {}).get("used") == {"pods": "1"}
        )
        with pytest.raises(Rejected, match="needs 1 of pods, and ResourceQuota few has 0 of 1 left"):
            judge(service, ERRORS, models["3"], Told(directory=tmp_path))
    finally:
        k8s.cluster.delete("ResourceQuota", "few")
    assert service.running_canary().status().phase == "none"
    with pytest.raises(UsageError, match="has no analysed rollout"):
        service.running_canary().resume()


def judge(
    service: Service, analysis: mlk8s.Analysis, model: str, told: Told, say: Any = print
) -> CanaryResult:
    return service.running_canary().run(analysis, model=model, told=told, blind=60, say=say)


class hook:
    """A local HTTP server that keeps the documents it is sent."""

    def __enter__(self) -> tuple[str, list[Any]]:
        found: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/verdict", found

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class refused_deletes:
    """A policy under which the canary's Ingress cannot be deleted, while the block runs."""

    def __init__(self, k8s: Kubernetes) -> None:
        self._cluster, self._name = k8s.cluster, f"keep-{k8s.namespace}"
        self._namespace = k8s.namespace

    def __enter__(self) -> None:
        rule = {"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["DELETE"],
                "resources": ["ingresses"]}  # fmt: skip
        group = "admissionregistration.k8s.io/v1"
        place = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}}}
        self._cluster.apply({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": self._name},
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": "false", "message": "kept by a test"}],
            },
        })  # fmt: skip
        self._cluster.apply({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": self._name},
            "spec": {
                "policyName": self._name, "validationActions": ["Deny"], "matchResources": place,
            },
        })  # fmt: skip
        wait_for(self._refused)

    def __exit__(self, *_: object) -> None:
        self._cluster.delete("ValidatingAdmissionPolicyBinding", self._name)
        self._cluster.delete("ValidatingAdmissionPolicy", self._name)
        wait_for(lambda: not self._refused())

    def _refused(self) -> bool:
        """Whether the API server has heard of the policy."""
        path = f"/apis/networking.k8s.io/v1/namespaces/{self._namespace}/ingresses/{NAME}"
        try:
            self._cluster.raw("DELETE", path, query={"dryRun": "All"})
        except Rejected:
            return True
        return False
