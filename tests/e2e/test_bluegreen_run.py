"""Blue/green by evidence on the real cluster: before the switch, after it with a way back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import live_pods, wait_for
from onnx_models import ROW, broken, scaling

import mlk8s
from mlk8s.assess.evidence import Record
from mlk8s.errors import Conflict, UsageError
from mlk8s.operations import rollout_state
from mlk8s.operations.canary_run import CanaryResult, Told
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.storage.models import upload_model

NAME = "colours"
QUICK: dict[str, Any] = {
    "alpha": 0.1, "beta": 0.1, "errors": "independent", "block": "4s", "bake": "4s", "deadline": "90s",
}  # fmt: skip
ERRORS = mlk8s.Analysis(slo=mlk8s.Slo(errors=0.2), **QUICK)


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version: 1 doubles, 2 triples, 3 fails on every request, 4 quadruples."""
    built = {"1": scaling(2.0), "2": scaling(3.0), "3": broken(), "4": scaling(4.0)}
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return {key: upload_model(model, f"{bucket}/{key}", config=config).url for key, model in built.items()}


@pytest.fixture(scope="module")
def spec(models: dict[str, str]) -> mlk8s.ModelService:
    return mlk8s.ModelService(name=NAME, model=models["1"], strategy="BlueGreen", retain=1, replicas=1)


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, spec: mlk8s.ModelService) -> Iterator[Service]:
    deployed = k8s.deploy(spec)
    yield deployed
    deployed.delete()


def test_without_a_second_colour_there_is_nothing_to_judge(service: Service) -> None:
    with pytest.raises(UsageError, match="no second colour"):
        service.colours().run(ERRORS)


def test_bad_colour_never_gets_a_users_request(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str], tmp_path: Path
) -> None:
    k8s.deploy(spec.replace(model=models["3"]))
    with service.background([ROW], rps=20) as background:
        result = judge(service, tmp_path, inputs=[ROW])
    assert result.outcome == "rolled back"
    assert "worse than the SLO" in result.why[0]
    assert background.failures() == (), background.summary()
    assert set(background.summary().versions) == {"1"}
    status = service.colours().status()
    assert (status.live, status.phase, status.idle_model) == ("blue", "preview", models["3"])
    with (tmp_path / "evidence.jsonl").open() as file:
        assert Record.read(file).differences() == []
    service.colours().finish(now=True)


def test_good_colour_is_judged_twice_through_a_kill(
    local_cluster: Any, k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    k8s.deploy(spec.replace(model=models["2"]))
    with service.background([ROW], rps=20) as background:
        patient = ERRORS.replace(bake="24s", deadline="5m")  # long enough to be seen at work, and killed
        with controller(local_cluster, k8s, patient, tmp_path / "first") as first:
            wait_for(lambda: stage(k8s) == "after-switch")
            with pytest.raises(Conflict, match=f":{first.pid}:"):
                judge(service, tmp_path / "second", analysis=patient)
        status = service.colours().status()
        assert status.live == "green"
        assert "after switch, nobody works on it" in str(status)
        with pytest.raises(Conflict, match="is a blue/green one"):
            service.running_canary().resume()
        said: list[str] = []
        result = judge(service, tmp_path, analysis=patient, inputs=[ROW], say=said.append)
    assert result.outcome == "promoted", said
    assert any("going on with the rollout" in line for line in said)
    assert background.failures() == (), background.summary()
    assert service.status().model == models["2"]
    assert service.colours().status().phase == "switched"
    deployment = k8s.cluster.get("Deployment", NAME)
    reasons = {item["reason"] for item in k8s.cluster.events(of=deployment)}
    assert {"ColourJudged", "ColourSwitched", "ColourPromoted"} <= reasons
    service.colours().finish(now=True)


def test_bad_colour_that_somebody_switched_to_is_left_again(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str], tmp_path: Path
) -> None:
    k8s.deploy(spec.replace(model=models["3"]))
    pool = ThreadPoolExecutor(1)
    with service.background([ROW], rps=20) as background, pool:
        running = pool.submit(judge, service, tmp_path)
        wait_for(lambda: stage(k8s) == "before-switch")
        # nobody asks the idle colour, so it would wait; somebody is impatient
        rollout_state.ask(k8s.cluster, NAME, k8s.namespace, "promote", "somebody impatient")
        result = running.result(120)
        back = time.time()
        wait_for(lambda: background.records[-1].time > back + 1)
    assert result.outcome == "rolled back"
    assert "worse than the SLO" in result.why[0]
    assert background.failures(exclude_version="3") == (), background.summary()
    assert not [item for item in background.records if item.time > back and item.version != "2"]
    assert service.status().model == models["2"]
    service.colours().finish(now=True)


def test_whoever_asks_can_end_it_and_without_requests_it_waits(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str], tmp_path: Path
) -> None:
    k8s.deploy(spec.replace(model=models["4"]))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(judge, service, tmp_path)
        wait_for(lambda: "no requests" in str(decision(k8s)))
        service.colours().abort()
        result = running.result(60)
    assert result.outcome == "rolled back"
    assert "asked for it" in result.why[0]
    status = service.colours().status()
    assert (status.model, status.phase) == (models["2"], "preview")
    with pytest.raises(UsageError, match="has no rollout"):
        service.colours().abort()


def test_held_nothing_is_switched_and_without_a_pod_it_is_left(
    k8s: Kubernetes, service: Service, tmp_path: Path
) -> None:
    status, idle = service.colours().status(), idle_of(service)
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(judge, service, tmp_path, inputs=[ROW], say=said.append, blind=6.0)
        wait_for(lambda: stage(k8s) == "before-switch")
        service.running_canary().hold()
        wait_for(lambda: any("would be promoted, but is held" in line for line in said), 60)
        k8s.cluster.patch("Deployment", idle, {"spec": {"replicas": 0}}, manager="kubectl-scale")
        wait_for(lambda: any("is ready: nothing is switched until one is" in line for line in said), 30)
        assert service.running_canary().resume() is None
        rollout_state.ask(k8s.cluster, NAME, k8s.namespace, "promote", "somebody impatient")
        result = running.result(60)
    assert result.outcome == "rolled back"
    assert "is ready" not in result.why[0]
    assert "was ready for" in result.why[0]
    assert any("not promoted: none of the pods of" in line for line in said), said
    assert service.colours().status().live == status.live
    reasons = {item["reason"] for item in k8s.cluster.events(of=k8s.cluster.get("Deployment", NAME))}
    assert {"ColourHeld", "ColourResumed", "ColourUnready"} <= reasons


def test_way_back_that_fails_is_tried_again_and_told(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str], tmp_path: Path
) -> None:
    """The older colour loses its pods after the switch: no way back before it has them again."""
    service.colours().finish(now=True)
    k8s.deploy(spec.replace(model=models["3"]))
    older = NAME if service.colours().status().live == "blue" else f"{NAME}-green"
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(judge, service, tmp_path, say=said.append, timeout=5.0)
        wait_for(lambda: stage(k8s) == "before-switch")
        rollout_state.ask(k8s.cluster, NAME, k8s.namespace, "promote", "somebody impatient")
        wait_for(lambda: stage(k8s) == "after-switch", 60)
        place_pods(k8s, older, "nowhere", replicas=0)
        wait_for(lambda: not k8s.cluster.get("Deployment", older)["status"].get("replicas"))
        place_pods(k8s, older, "nowhere", replicas=1)
        rollout_state.ask(k8s.cluster, NAME, k8s.namespace, "rollback", "somebody careful")
        wait_for(lambda: any("ROLLBACK FAILED (attempt 1 of 5)" in line for line in said), 60)
        place_pods(k8s, older, None, replicas=1)
        result = running.result(120)
    assert result.outcome == "rolled back"
    assert any(f"by hand: `kubectl patch service -n {k8s.namespace} {NAME}" in line for line in said), said
    assert service.status().model == models["2"]


def test_while_pods_start_a_rollback_is_heeded(k8s: Kubernetes, service: Service, tmp_path: Path) -> None:
    status, idle = service.colours().status(), idle_of(service)
    anew = {"metadata": {"annotations": {"anew": "yes"}}}
    k8s.cluster.patch(
        "Deployment", idle, {"spec": {"minReadySeconds": 100, "template": anew}}, manager="a-test"
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(judge, service, tmp_path)
        wait_for(lambda: stage(k8s) == "starting")
        service.colours().abort()
        result = running.result(60)
    assert result.outcome == "rolled back"
    assert "asked for it" in result.why[0]
    assert service.colours().status().live == status.live
    k8s.cluster.patch("Deployment", idle, {"spec": {"minReadySeconds": None}}, manager="a-test")


def test_what_nobody_scrapes_is_not_promoted_at_the_deadline(
    k8s: Kubernetes, service: Service, spec: mlk8s.ModelService, models: dict[str, str], tmp_path: Path
) -> None:
    service.colours().finish(now=True)
    k8s.deploy(spec.replace(model=models["4"]))
    status, said = service.colours().status(), list[str]()
    analysis = ERRORS.replace(bake="56s", deadline="60s", at_deadline="promote")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(judge, service, tmp_path, analysis, inputs=[ROW], say=said.append)
        wait_for(lambda: stage(k8s) == "before-switch")
        for pod in live_pods(k8s.cluster, f"app.kubernetes.io/instance={idle_of(service)}"):
            body = {"metadata": {"annotations": {"prometheus.io/scrape": "false"}}}
            k8s.cluster.patch("Pod", pod["metadata"]["name"], body)
        result = running.result(150)
    assert result.outcome == "inconclusive", said
    assert any("Prometheus has no samples of the pods of" in line for line in said), said
    assert (service.colours().status().live, service.status().model) == (status.live, models["2"])


def idle_of(service: Service) -> str:
    """Return the Deployment of the colour without the users' requests."""
    return NAME if service.colours().status().live == "green" else f"{NAME}-green"


def place_pods(k8s: Kubernetes, name: str, node: str | None, replicas: int) -> None:
    """Let new pods wait for a node that is not there; None lets them go anywhere."""
    pod = {"spec": {"nodeSelector": {"kubernetes.io/hostname": node}}}
    body = {"spec": {"replicas": replicas, "template": pod}}
    k8s.cluster.patch("Deployment", name, body, manager="a-test")


def judge(
    service: Service, directory: Path, analysis: mlk8s.Analysis = ERRORS, inputs: Any = None,
    say: Any = print, **options: Any,
) -> CanaryResult:  # fmt: skip
    return service.colours().run(analysis, inputs=inputs, told=Told(directory=directory), say=say, **options)


def stage(k8s: Kubernetes) -> str | None:
    found = rollout_state.read(k8s.cluster, NAME, k8s.namespace)
    return found.stage if found is not None else None


def decision(k8s: Kubernetes) -> Any:
    found = rollout_state.read(k8s.cluster, NAME, k8s.namespace)
    return found.decision if found is not None else None


class controller:
    """A rollout in a process of its own, killed with SIGKILL at the end of the block."""

    code = (
        "import sys, json, mlk8s; k8s = mlk8s.connect(kubeconfig=sys.argv[1], namespace=sys.argv[2]); "
        "from mlk8s.operations.canary_run import Told; "
        "k8s.service(sys.argv[3]).colours().run(mlk8s.Analysis(**json.loads(sys.argv[4])), "
        "inputs=json.loads(sys.argv[5]), told=Told(directory=sys.argv[6]))"
    )

    def __init__(self, local: Any, k8s: Kubernetes, analysis: mlk8s.Analysis, directory: Path) -> None:
        given = json.dumps(analysis.model_dump(mode="json", exclude_unset=True))
        arguments = [str(local.kubeconfig), k8s.namespace, NAME, given, json.dumps([ROW]), str(directory)]
        self._process = subprocess.Popen([sys.executable, "-c", self.code, *arguments])
        self.pid = self._process.pid

    def __enter__(self) -> controller:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
