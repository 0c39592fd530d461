"""Shadows on the real cluster: copies to a version that answers nobody; users' answers stay what they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from onnx_models import ROW, broken, capped, scaling

import mlk8s
from mlk8s.assess.evidence.shadow_record import ShadowRecord
from mlk8s.errors import Conflict, RolledBack, StorageError, UsageError
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.deploy import MIRROR
from mlk8s.operations.service import Service
from mlk8s.operations.shadow import FILE, ShadowResult
from mlk8s.operations.shadow_state import selector
from mlk8s.storage.models import upload_model

NAME = "seen"
QUICK: dict[str, Any] = {
    "alpha": 0.1, "beta": 0.1, "errors": "independent", "block": "4s", "deadline": "90s", "bound": 0.2,
}  # fmt: skip
ENDLESS = QUICK | {"bound": 0.0001}
"""Not decided within any of these tests, where both versions agree."""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version: 1 doubles, 2 doubles in other words, 3 fails always, 4 doubles up to 100."""
    built = {"1": scaling(2.0), "2": scaling(2.0000002), "3": broken(), "4": capped(2.0, 100.0)}
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    return {key: upload_model(model, f"{bucket}/{key}", config=config).url for key, model in built.items()}


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, models: dict[str, str]) -> Iterator[Service]:
    deployed = k8s.deploy(mlk8s.ModelService(name=NAME, model=models["1"], replicas=1))
    yield deployed
    deployed.delete()


@pytest.fixture(autouse=True)
def nothing_left(k8s: Kubernetes, service: Service) -> Iterator[None]:
    yield
    left = {kind: len(k8s.cluster.list(kind, labels=selector(NAME))) for kind in (*MIRROR, "Deployment")}
    service.stop_shadow()
    assert not any(left.values()), left


def test_versions_that_answer_alike_agree_and_the_record_replays(
    service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    with Users(service) as users:
        result = look(service, models["2"], tmp_path)
    assert result.verdict == "agree", result
    assert {one.name for one in result.judged.slices} == {"all", "size=small", "size=large"}
    assert result.judged.pairs > 0
    assert users.statuses == {200}, users.failures
    assert users.versions == {"1"}, "nobody gets the shadow's answers"
    record = read(tmp_path)
    assert record.differences() == []
    ids = {one.request for one in record.other}
    assert ids <= set(users.sent), "they are joined by the protocol's ids"
    assert ROW[0] not in [one.value for one in record.stable]


def test_a_difference_in_one_slice_is_found_and_outcomes_say_which_is_worse(
    service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    with Users(service) as users:
        result = look(service, models["4"], tmp_path, bound=0.5)
    verdicts = {one.name: one.verdict for one in result.judged.slices}
    assert (result.verdict, verdicts["size=large"]) == ("differ", "differ"), result
    assert verdicts["all"] != "differ"
    assert users.statuses == {200}, users.failures
    labels = tmp_path / "labels.jsonl"
    truth = ({"request": name, "outcome": [2 * value for value in row]} for name, row in users.sent.items())
    labels.write_text("".join(json.dumps(one) + "\n" for one in truth))
    done = command("canary", "outcomes", str(tmp_path), "--labels", str(labels), "-o", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["worse"]) == (3, "shadow"), done.stderr
    assert told["slices"][0]["stable"]["different"] == 0
    assert command("canary", "replay", str(tmp_path)).returncode == 0


def test_a_shadow_that_fails_on_every_request_harms_nobody(
    service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    with service.background([ROW], rps=30) as background:
        result = look(service, models["3"], tmp_path)
    assert result.verdict == "differ", result
    assert {one.value for one in read(tmp_path).other} == {"failed"}
    assert background.failures() == (), background.summary()
    assert background.summary().versions == {"1": len(background.records)}


def test_pods_that_end_in_the_middle_harm_nobody(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    said: list[str] = []
    with service.background([ROW], rps=30) as background:
        with Shadowing(service, models["2"], tmp_path, said, deadline="60s") as shadowing:
            shadowing.until("are copied to")
            for pod in k8s.cluster.list("Pod", labels=f"app.kubernetes.io/instance={NAME}-shadow"):
                k8s.cluster.delete("Pod", pod["metadata"]["name"], grace_seconds=0)
            k8s.cluster.patch("Deployment", f"{NAME}-shadow", {"spec": {"replicas": 0}}, manager="a-test")
            shadowing.until("no pod of the shadow answers")
            k8s.cluster.patch("Deployment", f"{NAME}-shadow", {"spec": {"replicas": 1}}, manager="a-test")
        result = shadowing.result
    assert result is not None
    assert result.judged.only_stable > 0, "they have no answer of the shadow"
    assert result.judged.pairs > 0, "the new pod is read, too"
    assert background.failures() == (), background.summary()


def test_canary_deploy_and_shadow_exclude_each_other(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    said: list[str] = []
    with Shadowing(service, models["2"], tmp_path / "first", said, deadline="40s") as shadowing:
        shadowing.until("are copied to")
        with pytest.raises(Conflict, match="works on it now"):
            service.canary(model=models["2"])
        with pytest.raises(Conflict, match=f"{NAME} has a shadow"):
            k8s.deploy(mlk8s.ModelService(name=NAME, model=models["4"], replicas=1))
        assert "works on it" in str(service.running_canary().status().shadow)
    assert shadowing.result is not None
    canary = service.canary(model=models["2"], weight=0)
    with pytest.raises(Conflict, match=f"{NAME} has a canary"):
        look(service, models["2"], tmp_path / "second")
    canary.rollback()


def test_what_a_killed_process_leaves_is_told_and_removed(
    k8s: Kubernetes, local_cluster: Any, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    where = ["-n", k8s.namespace, "--kubeconfig", str(local_cluster.kubeconfig)]
    with service.background([ROW], rps=30) as background:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mlk8s", "canary", "shadow", NAME, "--model", models["2"],
                "--bound", "0.0001", "--directory", str(tmp_path), *where,
            ],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("are copied to" in line for line in lines)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
        assert k8s.cluster.list("IngressRoute", labels=selector(NAME)), "the copies go on"
        told = command("canary", "status", NAME, *where)
        assert "copies of 100 % of the predictions; nobody works on it" in told.stdout, told
        with pytest.raises(Conflict, match=rf"has a shadow .*/{models['2'].rpartition('/')[2]}"):
            service.canary(model=models["2"])
        stopped = command("canary", "shadow", NAME, "--stop", *where)
        assert "the shadow is gone" in stopped.stderr
        assert service.running_canary().status().shadow is None
        assert "there is no shadow" in command("canary", "shadow", NAME, "--stop", *where).stderr
    assert background.failures() == (), background.summary()


def test_a_kept_shadow_goes_on_and_larger_bodies_are_only_answered(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    rows = [[float(number)] * 4 for number in range(200)]
    with Users(service) as users, service.background(rows, rps=5) as large:
        look(service, models["2"], tmp_path / "short", keep=True, deadline="4s", bound=0.0001)
        assert k8s.cluster.list("IngressRoute", labels=selector(NAME)), "whatever the verdict"
        result = look(service, models["2"], tmp_path, keep=True, max_body=2_048)
        assert k8s.cluster.list("IngressRoute", labels=selector(NAME))
        service.stop_shadow()
    assert (result.verdict, result.kept) == ("agree", True)
    assert large.failures() == (), large.summary()
    assert users.statuses == {200}, users.failures
    copied = Counter(one.request.partition(":")[0] for one in read(tmp_path).other)
    assert "body" not in copied, "what has no id is too large to be copied"
    assert "body" in Counter(one.request.partition(":")[0] for one in read(tmp_path).stable)


def test_a_version_that_does_not_start_is_removed_before_a_request_is_copied(
    service: Service, tmp_path: Path, k8s: Kubernetes
) -> None:
    with pytest.raises(StorageError, match="no version 'nowhere'"):
        look(service, f"s3://models/{k8s.namespace}/nowhere", tmp_path / "a")
    k8s.cluster.apply({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "tight", "namespace": k8s.namespace},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "8Mi"}}]},
    })  # fmt: skip
    try:
        with pytest.raises(RolledBack, match="never became ready"):
            service.shadow(
                mlk8s.Shadow(model=f"s3://models/{k8s.namespace}/2", **QUICK), directory=tmp_path / "b"
            )
    finally:
        k8s.cluster.delete("LimitRange", "tight")


def test_an_ingress_with_annotations_of_its_own_is_not_gone_past(
    k8s: Kubernetes, service: Service, models: dict[str, str], tmp_path: Path
) -> None:
    key = "nginx.ingress.kubernetes.io/whitelist-source-range"
    k8s.cluster.patch("Ingress", NAME, {"metadata": {"annotations": {key: "0.0.0.0/0"}}}, manager="a-test")
    try:
        with pytest.raises(UsageError, match=key):
            look(service, models["2"], tmp_path)
    finally:
        k8s.cluster.patch("Ingress", NAME, {"metadata": {"annotations": {key: None}}}, manager="a-test")


def test_deleting_the_service_takes_its_shadow_along(
    k8s: Kubernetes, models: dict[str, str], tmp_path: Path
) -> None:
    other = k8s.deploy(mlk8s.ModelService(name="going", model=models["1"], replicas=1))
    look(other, models["2"], tmp_path, keep=True, deadline="4s")
    other.delete()
    for kind in (*MIRROR, "Deployment", "Service"):
        assert not k8s.cluster.list(kind, labels=selector("going")), kind


def look(service: Service, model: str, directory: Path, *, keep: bool = False, **change: Any) -> ShadowResult:
    return service.shadow(mlk8s.Shadow(model=model, **(QUICK | change)), directory=directory, keep=keep)


def read(directory: Path) -> ShadowRecord:
    with (directory / FILE).open() as lines:
        return ShadowRecord.read(lines)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlk8s", *words], capture_output=True, text=True, timeout=240, check=False
    )


class Shadowing:
    """A shadow in a thread that is not decided before its deadline."""

    def __init__(
        self, service: Service, model: str, directory: Path, said: list[str], *, deadline: str
    ) -> None:
        spec = mlk8s.Shadow(model=model, **(ENDLESS | {"deadline": deadline}))
        self.result: ShadowResult | None = None
        self._said = said

        def work() -> None:
            self.result = service.shadow(spec, directory=directory, say=said.append)

        self._thread = threading.Thread(target=work)

    def __enter__(self) -> Shadowing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        print("\n".join(self._said))

    def until(self, text: str) -> None:
        end = time.monotonic() + 90
        while not any(text in line for line in self._said):
            assert time.monotonic() < end, f"{text!r} in {self._said}"
            assert self._thread.is_alive(), self._said
            time.sleep(0.1)


class Users:
    """Predictions with ids and slices at about 40 a second; one in four is large."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent: dict[str, list[float]] = {}
        self.statuses: set[int] = set()
        self.versions: set[str | None] = set()
        self.failures: list[str] = []

    def __enter__(self) -> Users:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        number, client = 0, self._service.inference
        while not self._over.wait(0.025):
            number += 1
            large = number % 4 == 0
            row = [100.0 + number] * 4 if large else [number % 40 + 0.5] * 4
            name = f"user-{number}"
            body = {
                "id": name, "parameters": {"slices": f"size={'large' if large else 'small'}"},
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": row}],
            }  # fmt: skip
            self.sent[name] = row
            answer = client.request("POST", f"/v2/models/{NAME}/infer", body=json.dumps(body).encode())
            self.statuses.add(answer.status)
            self.versions.add(answer.model_version)
            if answer.status != 200:
                self.failures.append(answer.words)
