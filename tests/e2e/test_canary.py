"""Canaries on the real cluster: split, header, promotion, rollback, faults; no request is lost in any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from e2e_tools import wait_for
from onnx_models import ROW, broken, scaling

import mlk8s
from mlk8s.assess.split import assess_split
from mlk8s.errors import Conflict, Rejected, RolledBack, UsageError
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.render.canary import WEIGHT
from mlk8s.storage.models import upload_model
from mlk8s.storage.store import Store

NAME = "scale"
HEADER = "X-Canary"
ALWAYS, NEVER = {HEADER: "always"}, {HEADER: "never"}
KINDS = ("Deployment", "Service", "Ingress", "ConfigMap", "PodDisruptionBudget", "ServiceAccount")


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def models(k8s: Kubernetes) -> dict[str, str]:
    """URLs by version: 1 doubles, 2 triples, 3 fails on every request, 4 has been damaged in the storage."""
    config = k8s.storage()
    bucket = f"s3://models/{k8s.namespace}"
    built = {"1": scaling(2.0), "2": scaling(3.0), "3": broken(), "4": scaling(4.0)}
    urls = {}
    for version, model in built.items():
        reference = upload_model(model, f"{bucket}/{version}", config=config)
        urls[version] = reference.url
        if version == "4":
            (file,) = reference.manifest.files
            Store(reference.url, config).put(reference.manifest.key(file), b"not the model")
    return urls


@pytest.fixture(scope="module")
def service(k8s: Kubernetes, models: dict[str, str]) -> Iterator[Service]:
    spec = mlk8s.ModelService(name=NAME, model=models["1"], replicas=1)
    deployed = k8s.deploy(spec)
    yield deployed
    deployed.delete()


def test_promote_then_roll_a_broken_version_back_and_lose_nothing(
    k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    with service.background([ROW], rps=25) as background:
        canary = service.canary(models["2"], weight=20, header=HEADER)
        status = canary.status()
        assert (status.phase, status.weight, status.ready, status.notes) == ("running", 20, 1, ())
        seen = versions(service, 200)
        assert set(seen) == {"1", "2"}
        assert assess_split(200, seen["2"], 20).fits, seen
        assert versions(service, 20, ALWAYS) == {"2": 20}
        assert versions(service, 20, NEVER) == {"1": 20}
        np.testing.assert_array_equal(
            service.predict([ROW], headers=ALWAYS)["y"], np.array([ROW], dtype=np.float32) * 3
        )

        with pytest.raises(Conflict, match="has a canary") as told:
            service.canary(models["3"], weight=1)
        assert f"mlk8s canary rollback {NAME}" in str(told.value)
        with pytest.raises(Conflict, match="has a canary"):
            k8s.deploy(mlk8s.ModelService(name=NAME, model=models["3"], replicas=1))

        assert canary.weight(50).split.fits
        assert assess_split(200, versions(service, 200)["2"], 50).fits

        canary.promote()
        wait_for(lambda: versions(service, 50) == {"2": 50})  # pods that end answer for a moment longer
        assert service.status().ready == 1
        assert canary.status().phase == "none"
        assert leftovers(k8s) == []
        assert background.failures() == ()

        bad = service.canary(models["3"], weight=30)
        wait_for(lambda: "3" in background.summary().versions)
        bad.rollback()
        rolled_back = time.time()
        assert versions(service, 50) == {"2": 50}
        assert leftovers(k8s) == []
        wait_for(lambda: background.records[-1].time > rolled_back + 1)

    assert background.failures(exclude_version="3") == (), background.summary()
    summary = background.summary()
    assert summary.failed > 0, "the broken version never got a request"
    assert all(item.version == "3" and item.status == 500 for item in background.failures())
    assert not [item for item in background.records if item.time > rolled_back and item.version != "2"]


def test_canary_that_never_gets_ready_is_removed_with_the_cause(
    k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    weights: list[str] = []
    with (
        service.background([ROW], rps=25) as background,
        watched_weights(k8s, weights),
        pytest.raises(RolledBack) as told,
    ):
        service.canary(models["4"], weight=50)
    assert "digest" in str(told.value).lower() or "sha256" in str(told.value).lower(), told.value
    assert set(weights) == {"0"}, "the weight was set before the pods were ready"
    assert background.failures() == ()
    assert "4" not in background.summary().versions
    assert service.running_canary().status().phase == "none"
    assert leftovers(k8s) == []


def test_weight_changed_by_hand_is_told_and_not_overwritten(
    k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    before, after = around(service)
    with pytest.raises(UsageError, match=f"serves {models[before]} already"):
        service.canary(models[before], weight=5)
    canary = service.canary(models[after], weight=5)
    body = {"metadata": {"annotations": {WEIGHT: "40"}}}
    k8s.cluster.patch("Ingress", f"{NAME}-canary", body, manager="kubectl-annotate")
    status = canary.status()
    assert status.weight == 40
    assert status.notes == ("the weight was set to 5 and is 40: changed from outside",)
    with pytest.raises(Conflict, match="kubectl-annotate"):
        canary.weight(10)
    assert canary.status().weight == 40
    with pytest.raises(UsageError, match="0 to 100"):
        canary.weight(101)
    assert canary.weight(10, force=True).notes == ()
    canary.rollback()
    assert leftovers(k8s) == []


def test_controller_that_ignores_canaries_is_refused_before_anything_is_made(
    k8s: Kubernetes, models: dict[str, str], service: Service
) -> None:
    other = f"other-{k8s.namespace}"
    k8s.cluster.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": other},
            "spec": {"controller": "nginx.org/ingress-controller"},
        }
    )
    try:
        model = service.status().model
        assert model is not None
        spec = mlk8s.ModelService(name=NAME, model=model, replicas=1)
        # Nothing leads to the service now, so there is nothing to wait for; its pods stay as they are.
        k8s.deploy(spec.replace(route=mlk8s.Route(ingress_class=other)), wait=False)
        with pytest.raises(Rejected, match="F5 NGINX Ingress Controller"):
            service.canary(models["1"], weight=10)
        assert service.running_canary().status().phase == "none"
        assert leftovers(k8s) == []
        k8s.deploy(spec)
    finally:
        k8s.cluster.delete("IngressClass", other)


def test_killed_promotion_is_finished_by_another_process(
    local_cluster: Any, k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    before, after = around(service)
    canary = service.canary(models[after], weight=30)
    with service.background([ROW], rps=25) as background:
        with operator(local_cluster, k8s, "promote", until="applied, ") as killed:
            refused = pytest.raises(Conflict, match=rf"is refused: .*:{killed.pid}:")
            with refused:
                canary.rollback()
        status = canary.status()
        assert status.phase == "promoting"
        assert status.allowed == ("promote", "rollback")
        canary.promote()
    assert background.failures() == (), background.summary()
    wait_for(lambda: versions(service, 30) == {after: 30} != {before: 30})
    assert leftovers(k8s) == []


def test_killed_rollback_of_a_promotion_is_finished_by_another_process(
    local_cluster: Any, k8s: Kubernetes, service: Service, models: dict[str, str]
) -> None:
    before, after = around(service)
    canary = service.canary(models[after], weight=30)
    with service.background([ROW], rps=25) as background:
        with operator(local_cluster, k8s, "promote", until="applied, "):
            pass
        with operator(local_cluster, k8s, "rollback", until="weight 0"):
            pass
        status = canary.status()
        assert (status.phase, status.weight, status.allowed) == ("rolling-back", 0, ("rollback",))
        canary.rollback()
    assert background.failures() == (), background.summary()
    wait_for(lambda: versions(service, 30) == {before: 30})  # the promotion that had begun is undone
    assert service.status().ready == 1
    assert leftovers(k8s) == []
    assert k8s.cluster.find("Lease", f"mlk8s-canary-{NAME}") is None


def test_http_route_shares_promotes_and_loses_nothing(k8s: Kubernetes, models: dict[str, str]) -> None:
    gateway = k8s.platform.gateway
    assert gateway is not None
    spec = mlk8s.ModelService(name=NAME, model=models["1"], replicas=1, route=mlk8s.Route(gateway=gateway))
    k8s.deploy(spec)
    assert k8s.cluster.find("Ingress", NAME) is None
    # A service of its own: where there was an Ingress, a controller may leave both out for a moment.
    service = k8s.deploy(spec.replace(name="routed"))
    with service.background([ROW], rps=25) as background:
        canary = service.canary(models["2"], weight=40, header=HEADER)
        assert canary.status().weight == 40
        assert assess_split(200, versions(service, 200)["2"], 40).fits
        assert versions(service, 20, ALWAYS) == {"2": 20}
        assert versions(service, 20, NEVER) == {"1": 20}
        canary.promote()
    assert background.failures() == (), background.summary()
    wait_for(lambda: versions(service, 30) == {"2": 30})
    assert leftovers(k8s) == []
    (rule,) = k8s.cluster.get("HTTPRoute", "routed")["spec"]["rules"]
    assert [item["name"] for item in rule["backendRefs"]] == ["routed"]
    service.delete()


def versions(service: Service, requests: int, headers: dict[str, str] | None = None) -> Counter[str]:
    """Count which version answers, through the Ingress; a version that fails counts too."""
    found: Counter[str] = Counter()
    for _ in range(requests):
        answer = service.inference.request("GET", f"/v2/models/{service.name}", headers=headers)
        found[str(answer.model_version)] += 1
    return found


def around(service: Service) -> tuple[str, str]:
    """Return the version that the service has, and the one for its next canary."""
    now = str(service.status().model).rpartition("/")[2]
    return now, {"1": "2", "2": "1"}[now]


def leftovers(k8s: Kubernetes) -> list[str]:
    """What is still there of a canary; a Deployment's deletion is seen at once, its pods drain."""
    labels = "mlk8s.dev/track=canary"
    return [
        f"{kind} {item['metadata']['name']}"
        for kind in KINDS
        for item in k8s.cluster.list(kind, labels=labels)
        if not item["metadata"].get("deletionTimestamp")
    ]


class operator:
    """Another process that works on the canary until it says something; then it stays there, its Lease
    renewed, and is killed with SIGKILL at the end of the block.
    """

    def __init__(self, local: Any, k8s: Kubernetes, verb: str, *, until: str) -> None:
        code = f"""
import mlk8s, signal, sys
def say(line):
    print(line, flush=True)
    if {until!r} in line:
        signal.pause()
k8s = mlk8s.connect(kubeconfig=sys.argv[1], namespace=sys.argv[2])
k8s.service({NAME!r}).running_canary().{verb}(say=say)
"""
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(local.kubeconfig), k8s.namespace],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._until = until
        self.pid = self._process.pid

    def __enter__(self) -> operator:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self._until in line:
                return self
        raise AssertionError(f"the other process ended without saying {self._until!r}")

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL
        assert self._process.stdout is not None
        self._process.stdout.close()


class watched_weights:
    """Collects every weight that the canary's Ingress has while the block runs."""

    def __init__(self, k8s: Kubernetes, found: list[str]) -> None:
        self._k8s, self._found = k8s, found
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            rule = self._k8s.cluster.find("Ingress", f"{NAME}-canary")
            if rule is not None:
                self._found.append(rule["metadata"]["annotations"][WEIGHT])
