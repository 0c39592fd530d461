"""The process of a rollout dies after every single step of it; whoever resumes brings it to its end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import ROW, broken, scaling
from rollout_process import ERRORS, Place, controller

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.operations import canary_state, rollout_state
from mlk8s.operations.canary_look import KINDS, selector
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.service import Service
from mlk8s.render.canary import WEIGHT
from mlk8s.storage.models import upload_model

NAME = "mortal"
LEASE = f"mlk8s-canary-{NAME}"
# one process after the other, most of a minute of work for each ten
pytestmark = pytest.mark.timeout(900)
ANALYSIS = ERRORS.replace(deadline="10m")
BAKED = ANALYSIS.replace(bake="8s")


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


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The steps that were the last one of some process, of all tests: each once."""
    return tmp_path_factory.mktemp("deaths") / "steps"


@pytest.fixture
def place(local_cluster: Any, k8s: Kubernetes, tmp_path: Path) -> Place:
    return Place(str(local_cluster.kubeconfig), k8s.namespace, NAME, str(tmp_path), prometheus=None)


def test_good_version_that_is_changed_meanwhile_is_promoted(
    k8s: Kubernetes, service: Service, models: dict[str, str], place: Place, deaths: Path
) -> None:
    """The canary's pods are changed while nobody works on it: the steps of a reset are among those."""
    changed: list[float] = []

    def look(seen: rollout_state.Rollout | None, packed: rollout_state.Packed) -> None:
        if not changed and seen is not None and seen.stage == "analysing" and seen.decision is not None:
            changed.append(time.time())
            body = {"spec": {"template": {"metadata": {"annotations": {"changed": "once"}}}}}
            k8s.cluster.patch("Deployment", f"{NAME}-canary", body)
            before.append(seen.template)
        elif changed and seen is not None and seen.template != before[0] and packed.state is not None:
            assert packed.state["started"] >= changed[0], "the evidence is of the new pods only"
            assert all(item["start"] >= changed[0] for item in packed.state["blocks"])

    before: list[str | None] = []
    with never_empty(k8s), service.background([ROW], rps=25) as background:
        killed = dies_at_every_step(k8s, service, models["2"], BAKED, place, deaths, look)
    assert changed, "its pods were changed in the middle"
    assert background.failures() == (), background.summary()
    assert str(service.status().model) == models["2"]
    assert ended(k8s) == "promoted"
    for name in ("begin.apply_canary", "_reset", "_begin_blocks.set_weight", "finish.apply_stable", "clear"):
        assert any(name in step for step in killed), f"{name} is none of the steps: {killed}"


def test_failing_version_is_rolled_back(
    k8s: Kubernetes, service: Service, models: dict[str, str], place: Place, deaths: Path
) -> None:
    model = service.status().model
    with never_empty(k8s), service.background([ROW], rps=25) as background:
        killed = dies_at_every_step(k8s, service, models["3"], ANALYSIS, place, deaths)
        over = time.time()
        wait_for(lambda: background.records[-1].time > over + 1)
    assert background.failures(exclude_version="3") == (), background.summary()
    assert not [item for item in background.records if item.time > over and item.version == "3"]
    assert service.status().model == model
    assert ended(k8s) == "rolled back"
    assert any("undo.remove_traffic" in step for step in killed), killed


def dies_at_every_step(
    k8s: Kubernetes, service: Service, model: str, analysis: mlk8s.Analysis, place: Place, deaths: Path,
    look: Any = lambda *_: None,
) -> list[str]:  # fmt: skip
    """Kill a rollout after each of its steps, one process after the other; return the steps."""
    known = len(deaths.read_text().splitlines()) if deaths.exists() else 0
    begun, number = False, 0
    while True:
        number += 1
        wanted = (None, None) if begun else (model, analysis)
        with controller(place, *wanted, deaths=deaths) as process:
            code = process.wait(120)
        if code != -signal.SIGKILL:
            assert code == 0, process.lines
            break
        if number % 16 != 1:  # most of the time it is as if the Lease had run out long ago
            k8s.cluster.delete("Lease", LEASE)
        rollout, packed = rollout_state.read_all(k8s.cluster, NAME, k8s.namespace) or (
            None,
            rollout_state.Packed(),
        )
        ours = rollout is not None and rollout.model == model
        begun = begun or ours
        status_is_true(k8s, service, rollout if ours else None)
        look(rollout if ours else None, packed)
        if begun and rollout is not None and rollout.ended:
            break
    left = [item for kind in KINDS for item in k8s.cluster.list(kind, labels=selector(NAME))]
    assert not [item for item in left if not item["metadata"].get("deletionTimestamp")]
    assert service.running_canary().status().phase == "none"
    return deaths.read_text().splitlines()[known:]


def status_is_true(k8s: Kubernetes, service: Service, rollout: rollout_state.Rollout | None) -> None:
    """What `status` says is what the cluster has, and that is no more than what was meant."""
    status = service.running_canary().status()
    rule = k8s.cluster.find("Ingress", f"{NAME}-canary")
    weight = int(rule["metadata"]["annotations"][WEIGHT]) if rule is not None else 0
    record = canary_state.read(k8s.cluster.get("Deployment", NAME))
    confirmed = record.weight if record is not None else 0
    assert status.weight == weight
    assert status.operator is None, "its process is dead"
    assert (status.phase == "none") == (record is None)
    if rollout is None:
        assert weight == 0
        return
    ends = rollout.stage in ("promoting", "rolling-back")
    assert weight in (rollout.weight, confirmed) or (ends and weight == 0), status
    if weight > rollout.weight:
        assert rollout.stage in ("rolling-back", "analysing"), "about to be taken back"
    if not rollout.ended:
        assert "nobody works on it" in str(status)
    if rollout.stage == "starting" and (record is None or record.phase == "starting"):
        assert weight == 0, "no weight before its pods are ready"


def ended(k8s: Kubernetes) -> str | None:
    found = rollout_state.read(k8s.cluster, NAME, k8s.namespace)
    return found.outcome if found is not None and found.ended else None


class never_empty:
    """Looks all the time whether the stable Service has a ready endpoint."""

    def __init__(self, k8s: Kubernetes) -> None:
        self._cluster: Cluster = k8s.cluster
        self._stop, self._empty, self._looks = threading.Event(), 0, 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            assert self._looks
            assert not self._empty, f"the stable Service was empty in {self._empty} of {self._looks} looks"

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            slices = self._cluster.list("EndpointSlice", labels=f"kubernetes.io/service-name={NAME}")
            ready = [
                item
                for one in slices
                for item in one.get("endpoints") or ()
                if item["conditions"].get("ready")
            ]
            self._looks += 1
            self._empty += not ready
