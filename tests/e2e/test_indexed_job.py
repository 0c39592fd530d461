"""Indexed feature jobs on the real cluster: each pod makes a part, the version is committed once."""

from __future__ import annotations

from typing import Any

import pytest

import mlk8s
from mlk8s.errors import RolloutFailed
from mlk8s.operations.connection import Kubernetes
from mlk8s.spec.resources import Resources
from mlk8s.storage.artifacts import versions
from mlk8s.storage.datasets import read_dataset
from mlk8s.storage.store import Store

SMALL = Resources(cpu="100m", cpu_limit=None, memory="256Mi")
SOURCE = """\
def build(index: int, count: int, rows: int = 9, broken: tuple[int, ...] = ()) -> dict[str, list[int]]:
    if index in broken:
        raise ValueError(f"part {index} has no data")
    return {"x": list(range(index, rows, count)), "part": [index] * len(range(index, rows, count))}
"""


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def job(k8s: Kubernetes) -> mlk8s.FeatureJob:
    return mlk8s.FeatureJob(
        name="parts",
        source=SOURCE,
        output=f"s3://features/{k8s.namespace}",
        version="one",
        completions=3,
        parallelism=2,
        completion_mode="Indexed",
        backoff_limit_per_index=1,
        resources=SMALL,
        active_deadline=120,
    )


def test_every_index_makes_its_part_and_the_version_is_committed_once(
    k8s: Kubernetes, job: mlk8s.FeatureJob
) -> None:
    result = k8s.run_job(job)
    assert result is not None
    assert (result.version, result.rows, result.columns, result.attempts) == ("one", 9, 2, 3)
    assert result.created
    table, manifest = read_dataset(job.output, "one", config=k8s.storage())
    assert sorted(table["x"].to_pylist()) == list(range(9))
    assert table["part"].to_pylist() == [0] * 3 + [1] * 3 + [2] * 3
    assert [file.path for file in manifest.files] == [f"part-{number:05d}.parquet" for number in range(3)]
    assert manifest.digest == result.digest
    (live,) = k8s.cluster.list("Job", labels="app.kubernetes.io/name=parts")
    assert (live["spec"]["parallelism"], live["spec"]["podReplacementPolicy"]) == (2, "Failed")
    left = {info.key.split("/")[-1] for info in Store(f"{job.output}/one", k8s.storage()).objects()}
    assert left == {"manifest.json", *(file.path for file in manifest.files)}, "records stay behind"


def test_a_part_that_fails_stops_no_other_and_nothing_is_committed(
    k8s: Kubernetes, job: mlk8s.FeatureJob
) -> None:
    broken = job.replace(name="holes", version="two", parameters={"broken": [1]})
    with pytest.raises(RolloutFailed, match=r"parts 1 of 3 failed.*part 1 has no data"):
        k8s.run_job(broken)
    (live,) = k8s.cluster.list("Job", labels="app.kubernetes.io/name=holes")
    assert live["status"]["succeeded"] == 2
    assert versions(job.output, k8s.storage()) == ["one"]
