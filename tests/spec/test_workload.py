"""What StatefulSets, DaemonSets, log collectors, indexed jobs and JobSets refuse, with field and reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mlk8s
from mlk8s.errors import SpecError
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.scheduling import Scheduling, Spread
from mlk8s.spec.volume import Volume

MAIN = Container("main", "registry/app:1", ports={"http": 8080})
DISK = Volume(name="data", size="1Gi")
PART = "def build(index, count):\n    return {}\n"
ROLE = mlk8s.JobRole(name="worker", containers=(MAIN,))


def stateful(**values: Any) -> object:
    return mlk8s.StatefulSet(**{"name": "a", "containers": (MAIN,), **values})


def daemon(**values: Any) -> object:
    return mlk8s.DaemonSet(**{"name": "a", "containers": (MAIN,), **values})


def job(**values: Any) -> object:
    whole = {"name": "a", "source": PART, "output": "s3://features/a", "completion_mode": "Indexed"}
    return mlk8s.FeatureJob(**{**whole, "completions": 3, **values})


def job_set(**values: Any) -> object:
    driver = mlk8s.JobRole(name="driver", containers=(MAIN,))
    return mlk8s.FeatureJobSet(**{"name": "a", "roles": (driver, ROLE), **values})


@pytest.mark.parametrize(
    ("make", "values", "expected"),
    [
        (stateful, {"containers": ()}, "StatefulSet.containers"),
        (stateful, {"containers": (MAIN, MAIN)}, "container name 'main' is there twice"),
        (stateful, {"sidecars": Container("b", "c/d:1", ports=(8080,))}, "port 8080 is there twice"),
        (
            stateful,
            {"init": Container("b", "c/d:1", probes=Probes(liveness=Probe(command=("x",))))},
            "probes",
        ),
        (stateful, {"containers": Container("b", "c/d:1", mounts={"/x": "data"})}, "mounts volume 'data'"),
        (job, {"sidecars": Container("pipeline", "c/d:1")}, "container name 'pipeline' is there twice"),
        (job, {"sidecars": Container("b", "c/d:1", mounts={"/x": "data"})}, "the pod has no volumes"),
        (stateful, {"storage": (DISK, DISK)}, "two volumes are named 'data'"),
        (stateful, {"storage": Volume(name="data", claim="theirs")}, "names a claim"),
        (
            stateful,
            {"storage": Volume(name="data", size="1Gi", access="ReadOnlyMany")},
            "empty and read-only",
        ),
        (
            stateful,
            {"storage": (DISK, Volume(name="b", size="1Gi", retain=False))},
            "retain differs",
        ),
        (stateful, {"when_scaled": "Delete"}, "there is no storage"),
        (stateful, {"partition": 2}, "partition 2 is above replicas 1"),
        (daemon, {"max_unavailable": 0}, "no pod could ever be replaced"),
        (daemon, {"scheduling": Scheduling(spread=(Spread(),))}, "spread has no use"),
        (mlk8s.LogCollector, {"namespace": "kube-system"}, "not the collector's own"),
        (mlk8s.LogCollector, {"include": ("a",), "exclude": ("a",)}, "'a' is in include and in exclude"),
        (mlk8s.LogCollector, {"output": "pvc://logs/pods"}, "expected s3://BUCKET/PATH"),
        (job, {"completion_mode": "NonIndexed"}, "every pod would make the same version"),
        (job, {"source": "def build(index):\n    return {}\n"}, "no parameter count"),
        (job, {"source": "def build(**x):\n    return {}\n", "parameters": {"index": 1}}, "'index' is in"),
        (job, {"parallelism": 4}, "parallelism 4 is above completions 3"),
        (job, {"max_failed_indexes": 1}, "needs backoff_limit_per_index"),
        (job, {"backoff_limit": 1, "backoff_limit_per_index": 1}, "one way to count retries"),
        (job_set, {"roles": (ROLE,)}, "a job of one role is a FeatureJob"),
        (job_set, {"roles": (ROLE, ROLE)}, "two roles are named 'worker'"),
        (job_set, {"driver": "boss"}, "driver 'boss' is no role"),
        (job_set, {"name": "a" * 48}, "expected at most 50"),
    ],
)
def test_what_cannot_work_is_refused(
    make: Callable[..., object], values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SpecError) as told:
        make(**values)
    assert expected in str(told.value)


def test_what_can_work_is_accepted() -> None:
    assert stateful(replicas=3, partition=3, storage=DISK, when_scaled="Delete")
    assert daemon(max_unavailable="10%")
    made = job(backoff_limit_per_index=2, max_failed_indexes=3)
    assert isinstance(made, mlk8s.FeatureJob) and made.pods == 3
    assert job_set(driver="driver", queue="team-a")
