"""A canary that a Job of the cluster brings to its end: nobody's machine has to stay on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import wait_for
from kernel_front import running_kernel
from onnx_models import ROW, broken, greedy, scaling
from rollout_cell import Cell
from rollout_process import ERRORS as QUICK

import mlk8s
from mlk8s.assess.evidence import Record
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import Conflict, RolloutFailed, UsageError
from mlk8s.operations.canary_run import Told
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.render.rollout_job import ROLLOUT
from mlk8s.storage.models import upload_model

NAME = "remote"
JOB = f"mlk8s-canary-{NAME}"
ERRORS = QUICK.replace(deadline="3m")


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


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
    assert k8s.cluster.find("Job", JOB) is None, "a service's rollout goes with it"


@pytest.fixture(autouse=True)
def nothing_left(k8s: Kubernetes, service: Service) -> Iterator[None]:
    yield
    if service.running_canary().status().phase != "none":
        service.running_canary().rollback()


def test_failing_version_is_rolled_back_and_its_evidence_is_here(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    canary = service.running_canary()
    analysis = ERRORS.replace(block="8s")  # it works on it for long enough to be in somebody's way
    with service.background([ROW], rps=25) as background:
        canary.launch(analysis, model=models["3"])
        with pytest.raises(Conflict, match=f"is refused: .*{JOB}-"):
            canary.run(analysis, model=models["3"], told=Told(directory=tmp_path / "second"))
        result = canary.follow(told=Told(directory=tmp_path))
    assert result.outcome == "rolled back"
    assert "worse than the SLO" in result.why[0]
    assert background.failures(exclude_version="3") == (), background.summary()
    with (tmp_path / "evidence.jsonl").open() as file:
        record = Record.read(file)
    assert record.replay()[-1].verdict == "rollback"
    assert record.differences() == []
    deployment = k8s.cluster.get("Deployment", NAME)
    assert {"CanaryStarted", "CanaryRolledBack"} <= {
        item["reason"] for item in k8s.cluster.events(of=deployment)
    }
    wait_for(lambda: (k8s.cluster.get("Job", JOB).get("status") or {}).get("succeeded"))


def test_controller_that_is_killed_is_started_anew_and_promotes(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    canary, said = service.running_canary(), list[str]()
    with service.background([ROW], rps=25) as background:
        canary.launch(ERRORS.replace(bake="72s", deadline="5m"), model=models["2"])
        wait_for(lambda: (canary.status().rollout or {}).get("decision"))
        prometheus = Prometheus(k8s.cluster, str(k8s.platform.prometheus))
        wait_for(lambda: prometheus.query(f'mlk8s_canary_weight_percent{{pod=~"{JOB}-.*"}}'))
        first = canary.status().operator
        (pod,) = k8s.cluster.list("Pod", labels=f"{ROLLOUT}={NAME}", fields="status.phase=Running")
        k8s.cluster.delete("Pod", pod["metadata"]["name"], grace_seconds=0)
        result = canary.follow(told=Told(directory=tmp_path), say=said.append)
    assert result.outcome == "promoted", said
    assert first is not None
    assert pod["metadata"]["name"] in first, "whoever works on it is told by the name of its pod"
    assert background.failures() == (), background.summary()
    assert service.status().model == models["2"]
    with (tmp_path / "evidence.jsonl").open() as file:
        assert Record.read(file).differences() == []
    # what Prometheus remembers of those requests, and the recorded blocks, through the same policy
    flagger = {
        "kind": "Canary", "metadata": {"name": "theirs"},
        "spec": {"analysis": {
            "interval": "4s", "threshold": 2, "maxWeight": 50, "stepWeight": 25,
            "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 80}}],
        }},
    }  # fmt: skip
    for history in ("1m", tmp_path):
        found = canary.rehearse(ERRORS, history, rules=[flagger], replays=5)
        assert {row.policy for row in found.rows} >= {"evidence"}
        assert len(found.rows) == 6, "as recorded, 2 % and 5 % failures; no latency is promised"
        assert found.requests > 100
        assert found.rows[0].rolled_back == 0


def test_requests_that_end_the_server_count_as_failed(
    k8s: Kubernetes, service: Service, tmp_path: Path
) -> None:
    """A pod that is killed for its memory counts nothing any more; the ingress controller had to answer."""
    url = upload_model(greedy(4), f"s3://models/{k8s.namespace}/greedy", config=k8s.storage()).url
    with service.background([ROW], rps=25) as background:
        result = service.running_canary().run(ERRORS, model=url, told=Told(directory=tmp_path), blind=60)
    assert result.outcome == "rolled back"
    assert "worse than the SLO" in result.why[0]
    assert background.failures(exclude_version="greedy"), "they were nobody's"
    with (tmp_path / "evidence.jsonl").open() as file:
        record = Record.read(file)
    blocks = [block for block, _ in record.entries]
    assert sum(block.canary.errors for block in blocks) > 0
    assert any("no answer but the controller's" in note for block in blocks for note in block.notes)
    assert record.differences() == []


@pytest.mark.timeout(400)
def test_cells_follow_it_ask_it_and_leave_it_to_the_job_which_may_do_nothing_else(
    local_cluster: Any, k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    canary, stable = service.running_canary(), service.status().model
    other = models["1"] if stable != models["1"] else models["2"]
    place = local_cluster, k8s.namespace, NAME, "follow(told=told, live=True)"
    with service.background([ROW], rps=15) as background, running_kernel() as kernel:
        canary.launch(ERRORS.replace(bake="8m", deadline="10m"), model=other)
        only_what_a_rollout_needs(k8s)
        cell = Cell(kernel, *place, tmp_path / "interrupted")
        cell.front.until(lambda: cell.front.named("ButtonModel"))
        cell.front.seen()
        cell.until("of the canary")
        cell.front.until(lambda: cell.shown().count("<svg") == 3)  # requests, interval, evidence
        cell.click("Hold")
        cell.until("held: ")
        assert (canary.status().rollout or {})["held"], "the Job holds it"
        cell.click("Go on")
        cell.front.until(lambda: "held: " not in cell.shown().split("<svg")[0], 120)
        kernel[0].interrupt_kernel()
        left = cell.left("KeyboardInterrupt")
        assert re.search(
            rf"interrupted: the rollout of {NAME} goes on at weight \d+ %: \S*{JOB}-", left["text/plain"]
        )
        assert set(left) == {"text/plain", "text/html", "image/png"}
        status = canary.status()
        assert status.phase == "running" and JOB in str(status.operator), (
            "nobody but the cell was interrupted"
        )

        cell = Cell(kernel, *place, tmp_path / "rolled-back")
        cell.front.until(lambda: cell.front.named("ButtonModel"))
        cell.front.seen()
        cell.until("of the canary")
        cell.click("Roll back")
        cell.click("No")
        cell.click("Roll back")
        cell.click("Yes, roll back")
        left = cell.left()
        assert not [content for kind, content in cell.front.outputs if kind == "stream"], "what is seen"
    assert background.failures() == (), background.summary()
    assert f"{NAME}: {other} rolled back" in left["text/plain"]
    assert "asked: rollback" in left["text/html"] and 'alt="A canary over ' in left["text/html"]
    assert set(left) == {"text/plain", "text/html", "image/png"}
    with (tmp_path / "rolled-back" / "evidence.jsonl").open() as file:
        record = Record.read(file)
    assert record.entries and record.differences() == []
    assert service.status().model == stable


def test_what_is_refused_is_refused_here_and_leaves_nothing(
    k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    canary, now = service.running_canary(), str(service.status().model)
    with pytest.raises(UsageError, match="already"):
        canary.launch(ERRORS, model=now)
    with pytest.raises(RolloutFailed, match="does not start"):
        canary.launch(ERRORS, model=models["3"], image="localhost/mlk8s/nothing:1")
    assert canary.status().phase == "none"
    with pytest.raises(UsageError, match="no analysed rollout"):
        canary.launch()
    wait_for(lambda: k8s.cluster.find("Job", JOB) is None)
    wait_for(lambda: k8s.cluster.find("Role", JOB) is None)


def only_what_a_rollout_needs(k8s: Kubernetes) -> None:
    """See that the controller's account may do that, and nothing else."""
    account = f"system:serviceaccount:{k8s.namespace}:{JOB}"
    assert may(k8s, account, "patch", "deployments", "apps", NAME)
    assert may(k8s, account, "create", "ingresses", "networking.k8s.io")
    assert not may(k8s, account, "get", "secrets", "", "mlk8s-storage")
    assert not may(k8s, account, "patch", "deployments", "apps", "another")
    assert not may(k8s, account, "delete", "ingresses", "networking.k8s.io", "another")
    assert not may(k8s, account, "create", "pods/exec", "")
    assert not may(k8s, account, "list", "nodes", "", space=None)


def may(
    k8s: Kubernetes, account: str, verb: str, resource: str, group: str, name: str | None = None,
    space: str | None = "",
) -> bool:  # fmt: skip
    plural, _, part = resource.partition("/")
    asked = {"verb": verb, "resource": plural, "group": group, "subresource": part, "name": name}
    asked["namespace"] = k8s.namespace if space is not None else None
    attributes = {key: value for key, value in asked.items() if value}
    review = {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
        "spec": {"user": account, "resourceAttributes": attributes},
    }  # fmt: skip
    return bool(k8s.cluster.create(review)["status"]["allowed"])
