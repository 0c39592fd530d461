"""Queues and JobSets: refused where the cluster has no such kinds, valid where it has.

JobSet's CRD is the project's own. Of Kueue only the kind of a queue is installed, and its part, to let a
suspended Job go, is played by hand: no controller of either runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from e2e_tools import wait_for

import mlk8s
from mlk8s.errors import NotFound, Rejected
from mlk8s.local import parts
from mlk8s.local.progress import open_progress
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.dry_run import check, manifests
from mlk8s.spec.container import Container
from mlk8s.spec.resources import Resources

QUEUES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "localqueues.kueue.x-k8s.io",
        # The group is Kubernetes' own: whoever defines a kind in it must say so.
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "kueue.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "LocalQueue", "plural": "localqueues", "singular": "localqueue"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"clusterQueue": {"type": "string"}}}
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def kinds(k8s: Kubernetes) -> Iterator[None]:
    """The CRDs, as long as this module's last tests need them."""
    with open_progress() as progress:
        folder = parts.ensure(["jobset"], progress=progress)["jobset"]
    (text,) = [file.read_text() for file in folder.glob("*_jobsets.yaml")]
    installed = [yaml.load(text, yaml.CSafeLoader), QUEUES]
    for item in installed:
        k8s.cluster.create(item)
    for item in installed:
        names = item["spec"]["names"]
        kind = f"{item['spec']['group']}/{item['spec']['versions'][0]['name']}/{names['kind']}"
        wait_for(lambda kind=kind: k8s.cluster.serves(kind))  # type: ignore[misc]
    yield
    for item in installed:
        k8s.cluster.delete("CustomResourceDefinition", item["metadata"]["name"])


@pytest.fixture(scope="module")
def job(k8s: Kubernetes) -> mlk8s.FeatureJob:
    return mlk8s.FeatureJob(
        name="queued",
        source="def build() -> dict[str, list[int]]:\n    return {'x': [1, 2, 3]}\n",
        output=f"s3://features/{k8s.namespace}",
        version="one",
        queue="team-a",
        resources=Resources(cpu="100m", cpu_limit=None, memory="256Mi"),
        active_deadline=90,
    )


@pytest.fixture(scope="module")
def job_set(python_pods: str) -> mlk8s.FeatureJobSet:
    one = Container("main", python_pods, command=("python3", "-c", "print('done')"))
    return mlk8s.FeatureJobSet(
        name="training",
        roles=(
            mlk8s.JobRole(name="driver", containers=(one,)),
            mlk8s.JobRole(name="worker", containers=(one,), pods=2),
        ),
        driver="driver",
        max_restarts=1,
    )


def test_without_their_kinds_both_are_refused_before_anything_is_written(
    k8s: Kubernetes, job: mlk8s.FeatureJob, job_set: mlk8s.FeatureJobSet
) -> None:
    with pytest.raises(NotFound, match="queue 'team-a' is given, and the cluster has no Kueue") as told:
        k8s.run_job(job)
    assert "stay suspended for ever" in str(told.value)
    with pytest.raises(NotFound, match=r"no kind JobSet in jobset.x-k8s.io/v1alpha2"):
        k8s.apply(job_set)
    for kind in ("Job", "ServiceAccount", "NetworkPolicy"):
        names = {item["metadata"]["name"] for item in k8s.cluster.list(kind)}
        assert not names & {"queued-pipeline", "training"}


def test_a_job_waits_in_its_queue_and_runs_when_it_is_let_go(
    k8s: Kubernetes, job: mlk8s.FeatureJob, kinds: None
) -> None:
    queue = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "LocalQueue", "spec": {"clusterQueue": "all"}}
    k8s.cluster.create({**queue, "metadata": {"name": "team-b", "namespace": k8s.namespace}})
    with pytest.raises(NotFound, match="there is no queue 'team-a'") as told:
        k8s.run_job(job)
    assert "one of: team-b" in str(told.value)

    queued = job.replace(queue="team-b")
    k8s.run_job(queued, wait=False)
    (live,) = k8s.cluster.list("Job", labels="app.kubernetes.io/name=queued")
    assert live["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-b"
    assert live["spec"]["suspend"] is True
    assert not k8s.cluster.list("Pod", labels="app.kubernetes.io/name=queued")
    said: list[str] = []

    def listen(line: str) -> None:
        said.append(line)
        if "waits in queue team-b" in line:
            k8s.cluster.patch("Job", live["metadata"]["name"], {"spec": {"suspend": False}}, manager="kueue")

    result = k8s.run_job(queued, say=listen)
    assert result is not None and result.rows == 3
    assert any("waits in queue team-b" in line for line in said)


def test_a_job_set_passes_the_projects_own_schema(
    k8s: Kubernetes, job_set: mlk8s.FeatureJobSet, kinds: None
) -> None:
    said: list[str] = []
    check(k8s.cluster, manifests(k8s.cluster, k8s.platform, [job_set]), say=said.append)
    assert f"JobSet {k8s.namespace}/training: accepted (server dry run)" in said
    k8s.apply(job_set.replace(queue="team-b"))
    live = k8s.cluster.get("JobSet", "training")
    assert live["spec"]["suspend"] is True
    assert [item["name"] for item in live["spec"]["replicatedJobs"]] == ["driver", "worker"]
    (planned,) = [
        item for item in manifests(k8s.cluster, k8s.platform, [job_set]) if item["kind"] == "JobSet"
    ]
    planned["spec"]["successPolicy"]["operator"] = "Most"
    planned["metadata"]["name"] = "wrong"
    with pytest.raises(Rejected, match="Most"):
        k8s.cluster.apply(planned, dry_run=True)
    k8s.remove("FeatureJobSet", "training")
    assert k8s.cluster.find("JobSet", "training") is None
