"""Versions whose model servers expose numbers that are no counts, as a real Prometheus scrapes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from onnx_models import ROW, scaling
from rollout_process import ERRORS, Place, controller

import mlk8s
from mlk8s.assess.evidence import Block, Record
from mlk8s.clients.background import BackgroundClient
from mlk8s.local.runtime_image import PACKAGES_DIR
from mlk8s.operations import rollout_state
from mlk8s.operations.connection import Kubernetes
from mlk8s.series import REQUESTS
from mlk8s.storage.models import upload_model

LIES = """
import time
from math import nan
from mlk8s.server.metrics import Metrics
from mlk8s.server.model import Model, ModelFailedError

made, run, text = Metrics.__init__, Model.run, Metrics.text
seen = {"version": "", "requests": 0, "silent": 0.0, "scrapes": 0}

def remembers(self, model, version):
    made(self, model, version)
    seen["version"] = version

def fails(self, inputs, outputs):
    seen["requests"] += 1
    if seen["version"] == "nan" and seen["requests"] % 2:
        raise ModelFailedError("every other request")
    return run(self, inputs, outputs)

def lies(self):
    if seen["version"] == "nan":
        for (_, code), child in self._bound.items():
            if code == 500:
                child._buckets[-1].set(nan)
    elif seen["version"] == "falls" and seen["requests"] > 40:
        if seen["scrapes"] == 2:
            seen["silent"] = seen["silent"] or time.time() + 13
            if time.time() < seen["silent"]:
                raise RuntimeError("not now")
        seen["scrapes"] += 1
        for child in self._bound.values() if seen["scrapes"] > 5 else ():
            for number, bucket in enumerate(child._buckets):
                bucket.set(0 if number else 40 - seen["scrapes"])
    return text(self)

Metrics.__init__, Model.run, Metrics.text = remembers, fails, lies
"""
"""Version "nan" fails every other request, and what it exposes of those is NaN. Of version "falls"
two scrapes are right, then none is answered for a while; three more are right, and from then on its counters
fall at each, without a restart."""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@dataclass(frozen=True)
class Rollout:
    """A rollout that has ended: what its process said, its blocks, and what clients got meanwhile."""

    name: str
    stable: str
    process: controller
    place: Place
    background: BackgroundClient

    @property
    def pod(self) -> str:
        """Pattern of its pods' names."""
        return rf"{self.name}-canary-\w+-\w+"

    def blocks(self) -> list[Block]:
        """Return the blocks of its evidence, which decide again as they did."""
        with (Path(self.place.directory) / "evidence.jsonl").open() as file:
            record = Record.read(file)
        assert record.differences() == []
        return [block for block, _ in record.entries]

    def ended(self, k8s: Kubernetes) -> rollout_state.Rollout:
        """Return how it ended, without a traceback and without its version."""
        assert not [line for line in self.process.lines if "Traceback" in line]
        found = rollout_state.read(k8s.cluster, self.name, k8s.namespace)
        assert found is not None and found.stage == "ended"
        assert k8s.service(self.name).status().model == self.stable
        return found


@pytest.fixture(scope="module")
def rollouts(
    local_cluster: Any, k8s: Kubernetes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Rollout]]:
    """Both versions, each beside a good one of a service of its own, at the same time."""
    bucket, config = f"s3://models/{k8s.namespace}", k8s.storage()
    names = ("1", "nan", "falls")
    urls = {name: upload_model(scaling(2.0), f"{bucket}/{name}", config=config).url for name in names}
    falls = ERRORS.replace(block="3s", bake="50s", deadline="54s")
    policies = {"falls": (falls, 60.0), "nan": (ERRORS, 6.0)}  # the longer one begins first
    found: dict[str, Rollout] = {}
    with ExitStack() as stack:
        for name, (analysis, blind) in policies.items():
            service = k8s.deploy(
                mlk8s.ModelService(
                    name=name, model=urls["1"], replicas=1, config_files={"/lies/sitecustomize.py": LIES},
                    env={"PYTHONPATH": f"/lies:{PACKAGES_DIR}:/app"},
                )
            )  # fmt: skip
            stack.callback(service.delete)
            directory = str(tmp_path_factory.mktemp(name))
            place = Place(str(local_cluster.kubeconfig), k8s.namespace, name, directory, None, blind)
            background = stack.enter_context(service.background([ROW], rps=25))
            process = stack.enter_context(controller(place, urls[name], analysis))
            found[name] = Rollout(name, urls["1"], process, place, background)
        for rollout in found.values():
            assert rollout.process.wait(150) == 0, rollout.process.lines
        yield found


@pytest.mark.timeout(240)
def test_failures_that_are_nan_promote_nothing(k8s: Kubernetes, rollouts: dict[str, Rollout]) -> None:
    seen = rollouts["nan"]
    seen.process.until("weight 30")
    seen.process.until("is NaN; the weight is held")
    seen.process.until("roll back: nothing was seen of it for")
    words = rf'{seen.pod}: {REQUESTS}_count{{code="500"}} is NaN'
    assert any(re.search(words, line) for line in seen.process.lines if "the weight is held" in line)
    found = seen.ended(k8s)
    assert found.outcome == "rolled back"
    assert re.match(words, found.why[1])
    assert all(block.missing for block in seen.blocks()[-3:])


def test_counters_that_fall_without_a_restart_and_a_silent_endpoint_end_as_the_policy_says(
    k8s: Kubernetes, rollouts: dict[str, Rollout]
) -> None:
    seen = rollouts["falls"]
    seen.process.until("weight 30")
    seen.process.until("Prometheus has no samples of the canary's pods")
    seen.process.until("sees the canary again")
    seen.process.until('_count{code="200"} fell without a restart; the weight is held')
    seen.process.until("roll back: 54 s are over without enough evidence")
    silent = [line for line in seen.process.lines if "no samples of" in line and "is held" in line]
    assert re.search(seen.pod, silent[0])
    found = seen.ended(k8s)
    assert found.outcome == "inconclusive"
    assert any(re.search(rf"in the last block: .*{seen.pod}", why) for why in found.why), found.why
    assert seen.background.failures() == (), seen.background.summary()
    sent = sum(1 for item in seen.background.records if item.version == "falls")
    assert sum(block.canary.requests for block in seen.blocks()) <= sent, "no request that never was"
