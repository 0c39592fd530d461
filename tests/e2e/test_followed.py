"""What a wait looks at again and again: kept by watches, read where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import kubeconfig_of_service_account, wait_for
from onnx_models import scaling

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import NotFound
from mlk8s.operations import followed as module
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.followed import Followed
from mlk8s.operations.waiting import wait_rollout
from mlk8s.storage.models import upload_model

LABELS = "test=followed"


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture
def cluster(k8s: Kubernetes) -> Iterator[Cluster]:
    """With three ConfigMaps, two of them labelled."""
    for name, labels in (("a", {"test": "followed"}), ("b", {"test": "followed"}), ("c", {})):
        metadata = {"name": name, "namespace": k8s.namespace, "labels": labels}
        k8s.cluster.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "1"}}
        )
    yield k8s.cluster
    for name in ("a", "b", "c"):
        k8s.cluster.delete("ConfigMap", name, k8s.namespace)


def calls(cluster: Cluster, looks: Any) -> int:
    """Calls that ten looks make once the watches are there."""
    wait_for(lambda: not _calls_of(cluster, looks))
    return sum(_calls_of(cluster, looks) for _ in range(10))


def _calls_of(cluster: Cluster, looks: Any) -> int:
    before = cluster.transport.sent
    looks()
    return cluster.transport.sent - before


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


def test_changes_are_seen_without_a_call(cluster: Cluster) -> None:
    space = cluster.namespace
    with Followed(cluster) as followed:

        def value() -> str:
            return str(followed.get("ConfigMap", "a", space)["data"]["x"])

        def labelled() -> list[str]:
            return names(followed.list("ConfigMap", space, labels=LABELS))

        def looks() -> None:
            value(), labelled()

        assert (value(), labelled()) == ("1", ["a", "b"])
        assert calls(cluster, looks) == 0
        cluster.patch("ConfigMap", "a", {"data": {"x": "2"}}, space)
        cluster.patch("ConfigMap", "c", {"metadata": {"labels": {"test": "followed"}}}, space)
        wait_for(lambda: value() == "2" and labelled() == ["a", "b", "c"])
        cluster.delete("ConfigMap", "b", space)
        wait_for(lambda: labelled() == ["a", "c"])
        cluster.delete("ConfigMap", "a", space)
        wait_for(lambda: labelled() == ["c"])
        with pytest.raises(NotFound):
            value()


def test_a_watch_that_ended_is_begun_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    space = cluster.namespace
    monkeypatch.setattr(module, "_BELIEVED", 5.0)
    monkeypatch.setattr(module, "_AGAIN", 0.2)
    with Followed(cluster) as followed:

        def looks() -> list[str]:
            return names(followed.list("ConfigMap", space, labels=LABELS))

        assert calls(cluster, looks) == 0
        time.sleep(5.5)  # its time is over: what was kept is not believed any more
        assert _calls_of(cluster, looks) > 0
        assert calls(cluster, looks) == 0
        for kept in followed._kept.values():
            kept.close()  # as a lost connection does
        cluster.delete("ConfigMap", "b", space)
        wait_for(lambda: looks() == ["a"])


def test_an_end_is_told_of_what_was_read(cluster: Cluster) -> None:
    space = cluster.namespace
    with Followed(cluster) as followed:
        seen: list[object] = []

        def at(reads: Any) -> str:
            seen.append(reads)
            return str(reads.get("ConfigMap", "a", space)["data"]["x"])

        assert followed.look(at, lambda value: value == "1") == "1"
        assert seen == [followed], "the first look has read"
        wait_for(lambda: not _calls_of(cluster, lambda: followed.get("ConfigMap", "a", space)))
        seen.clear()
        assert followed.look(at, lambda value: value == "2") == "1"
        assert seen == [followed]
        assert followed.look(at, lambda value: value == "1") == "1"
        assert seen[1:] == [followed, cluster]


def test_who_may_not_watch_reads_each_time(
    local_cluster: Any, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.0)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    path = kubeconfig_of_service_account(local_cluster, cluster, "blind", rules, tmp_path)
    blind = mlk8s.connect(kubeconfig=path, namespace=cluster.namespace).cluster
    with Followed(blind) as followed:
        followed.list("ConfigMap", cluster.namespace, labels=LABELS)
        wait_for(lambda: all(kept._refused for kept in followed._kept.values()))
        sent = blind.transport.sent
        for _ in range(20):
            assert names(followed.list("ConfigMap", cluster.namespace, labels=LABELS)) == ["a", "b"]
        assert blind.transport.sent - sent == 20, "a watch that was refused is not tried again"


def test_the_wait_for_a_start_takes_few_calls(k8s: Kubernetes) -> None:
    model = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage()).url
    service = k8s.deploy(mlk8s.ModelService(name="few", model=model, replicas=1), wait=False)
    cluster = k8s.cluster
    sent, said = cluster.transport.sent, []
    wait_rollout(cluster, "few", k8s.namespace, timeout=60, say=said.append)
    assert said[-1] == "few: 1 of 1 pods ready"
    assert cluster.transport.sent - sent <= 25  # a look, four watches, the clock, an end; fifty with polling
    service.delete()
