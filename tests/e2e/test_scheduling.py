"""Affinity, taints, spread and priorities on the real node: what fits runs, what does not is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from e2e_tools import wait_for
from onnx_models import scaling

import mlk8s
from mlk8s.errors import NotFound, Rejected, RolloutFailed
from mlk8s.local.handle import Local
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.job import run_job
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

SMALL = Resources(cpu="20m", cpu_limit=None, memory="256Mi")
HOLD = """\
import time

def build(seconds: float) -> dict[str, list[int]]:
    time.sleep(seconds)
    return {"x": [1]}
"""
MISSING = mlk8s.Expression(key="mlk8s.test/absent", operator="Exists")


@pytest.fixture(scope="module")
def k8s(local_cluster: Local, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def spec(k8s: Kubernetes) -> mlk8s.ModelService:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage())
    return mlk8s.ModelService(
        name="placed", model=model.url, replicas=1, route=None, resources=SMALL, startup_timeout=20,
        request_timeout=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def classes(k8s: Kubernetes) -> Iterator[Callable[..., str]]:
    """Make PriorityClasses, which belong to the whole cluster, and remove them afterwards."""
    made = []

    def make(name: str, value: int, **fields: Any) -> str:
        wanted = mlk8s.PriorityClass(name=f"{k8s.namespace}-{name}", value=value, **fields)
        made.append(wanted)
        k8s.apply(wanted)
        return wanted.name

    yield make
    for item in made:
        try:
            k8s.remove(item)
        except NotFound:
            continue


def pods(k8s: Kubernetes, name: str) -> list[dict[str, Any]]:
    return k8s.cluster.list("Pod", labels=f"app.kubernetes.io/name={name}")


def why_pending(pod: dict[str, Any]) -> str:
    conditions = {item["type"]: item for item in pod["status"].get("conditions", [])}
    scheduled = conditions.get("PodScheduled", {})
    return str(scheduled.get("message", "")) if scheduled.get("status") == "False" else ""


@contextmanager
def tainted(k8s: Kubernetes, key: str) -> Iterator[None]:
    """Keep new pods off the node for a moment; pods that run are not touched."""
    (node,) = k8s.cluster.list("Node", all_namespaces=True)
    name, before = node["metadata"]["name"], node["spec"].get("taints") or []
    taint = {"key": key, "value": "true", "effect": "NoSchedule"}
    k8s.cluster.patch("Node", name, {"spec": {"taints": [*before, taint]}}, type="merge", manager="test")
    try:
        yield
    finally:
        k8s.cluster.patch("Node", name, {"spec": {"taints": before}}, type="merge", manager="test")


def test_a_required_label_that_no_node_has_is_told(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    wanted = mlk8s.Scheduling(node_affinity=(mlk8s.NodeTerm(expressions=(MISSING,)),))
    with pytest.raises(RolloutFailed, match=r"no node takes the pod: .*node affinity/selector") as told:
        k8s.deploy(spec.replace(scheduling=wanted))
    assert "label a node" in str(told.value)


def test_preferences_and_what_the_node_has_let_a_pod_run(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    """Every field at once; the API server and the scheduler take each of them."""
    wanted = mlk8s.Scheduling(
        node_selector={"kubernetes.io/os": "linux"},
        node_affinity=(
            mlk8s.NodeTerm(expressions=(MISSING,)),  # one of the required terms is enough
            mlk8s.NodeTerm(
                expressions=(
                    mlk8s.Expression(key="kubernetes.io/hostname"),
                    mlk8s.Expression(key="mlk8s.test/absent", operator="DoesNotExist"),
                    mlk8s.Expression(key="kubernetes.io/os", operator="In", values=("linux", "windows")),
                )
            ),
            mlk8s.NodeTerm(expressions=(MISSING,), weight=50),
            mlk8s.NodeTerm(
                expressions=(mlk8s.Expression(key="mlk8s.test/size", operator="Gt", values=("3",)),), weight=1
            ),
        ),
        pod_affinity=(mlk8s.PodTerm(labels={"app.kubernetes.io/name": "nobody"}, weight=10),),
        pod_anti_affinity=(mlk8s.PodTerm(weight=100), mlk8s.PodTerm(labels={"never": "there"})),
        tolerations=(mlk8s.Toleration(key="mlk8s.test/held", operator="Equal", value="true"),),
        spread=(mlk8s.Spread(max_skew=2, when_unsatisfiable="DoNotSchedule"),),
    )
    service = k8s.deploy(spec.replace(scheduling=wanted))
    with tainted(k8s, "mlk8s.test/held"):
        more = spec.replace(replicas=2, scheduling=wanted.replace(spread=()))
        assert k8s.deploy(more).status().ready == 2, "it tolerates the taint"
        with pytest.raises(RolloutFailed, match="untolerated taint"):
            k8s.deploy(spec.replace(name="kept-out"))
    service.delete()


def test_pods_that_may_not_share_a_node_wait(k8s: Kubernetes, spec: mlk8s.ModelService) -> None:
    apart = mlk8s.Scheduling(pod_anti_affinity=(mlk8s.PodTerm(),))
    with pytest.raises(RolloutFailed, match="anti-affinity rules"):
        k8s.deploy(spec.replace(name="apart", replicas=2, scheduling=apart))
    assert sorted(bool(why_pending(pod)) for pod in pods(k8s, "apart")) == [False, True]
    evenly = mlk8s.Scheduling(spread=(mlk8s.Spread(when_unsatisfiable="DoNotSchedule", min_domains=2),))
    with pytest.raises(RolloutFailed, match="topology spread constraints"):
        k8s.deploy(spec.replace(name="evenly", replicas=2, scheduling=evenly))
    for name in ("apart", "evenly"):
        k8s.service(name).delete()


def test_a_higher_priority_takes_the_place_and_a_polite_one_waits(
    k8s: Kubernetes, classes: Callable[..., str]
) -> None:
    """The scarce thing is the node's GPUs, so that nobody else's pod is hurt."""
    (node,) = k8s.cluster.list("Node", all_namespaces=True)
    gpus = int(node["status"]["allocatable"]["nvidia.com/gpu"])
    assert gpus, "the local cluster advertises simulated GPUs"
    high = classes("high", 1000, description="may take a place")
    polite = classes("polite", 2000, preemption="Never")
    job = mlk8s.FeatureJob(
        name="low", source=HOLD, output=f"s3://features/{k8s.namespace}", resources=SMALL,
        active_deadline=280, parameters={"seconds": 250}, gpu=mlk8s.Gpu(gpus, node_selector={}),
        backoff_limit=0, version="low",
    )  # fmt: skip
    run_job(k8s.cluster, k8s.platform, job, wait=False)
    wait_for(lambda: any(pod["status"]["phase"] == "Running" for pod in pods(k8s, "low")))

    small = {"parameters": {"seconds": 0}, "gpu": mlk8s.Gpu(1, node_selector={})}
    waits = job.replace(
        name="polite", version="polite", scheduling=mlk8s.Scheduling(priority_class=polite), **small
    )
    run_job(k8s.cluster, k8s.platform, waits, wait=False)
    told = wait_for(lambda: next((words for pod in pods(k8s, "polite") if (words := why_pending(pod))), ""))
    assert "Insufficient nvidia.com/gpu" in told
    (held,) = pods(k8s, "low")
    assert not held["metadata"].get("deletionTimestamp"), "it takes nobody's place"
    k8s.cluster.delete("Job", pods(k8s, "polite")[0]["metadata"]["labels"]["batch.kubernetes.io/job-name"])

    first = job.replace(
        name="high", version="high", scheduling=mlk8s.Scheduling(priority_class=high), **small
    )
    result = k8s.run_job(first)
    assert result.rows == 1
    wait_for(lambda: any(event["reason"] == "Preempted" for event in k8s.cluster.list("Event")))
    assert held["metadata"]["uid"] not in {
        pod["metadata"]["uid"] for pod in pods(k8s, "low") if pod["status"]["phase"] == "Running"
    }
    for item in k8s.cluster.list("Job"):
        k8s.cluster.delete("Job", item["metadata"]["name"])


def test_a_class_that_is_not_there_is_refused_in_the_api_servers_words(
    k8s: Kubernetes, spec: mlk8s.ModelService, classes: Callable[..., str]
) -> None:
    nowhere = mlk8s.Scheduling(priority_class="not-there")
    with pytest.raises((Rejected, RolloutFailed), match="not-there"):
        k8s.deploy(spec.replace(name="classless", scheduling=nowhere))
    there = k8s.cluster.get("PriorityClass", classes("high", 1000, description="may take a place"))
    assert (there["value"], there.get("globalDefault", False)) == (1000, False)
    with pytest.raises(Rejected, match=r"(?i)forbidden|immutable|updated"):
        classes("high", 999)
