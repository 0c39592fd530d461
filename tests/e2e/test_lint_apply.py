"""Plain manifests on the real cluster: checked, applied in order and many at once, never over others."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import mlk8s
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict, NotFound, Rejected, UsageError
from mlk8s.operations.bulk import apply_manifests
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.lint import kind_of, lint_object, server_findings
from tests.assess.lint_cases import manifests
from tests.cli.shell import mlk8s as command


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def cluster(k8s: Kubernetes) -> Cluster:
    return k8s.cluster


def here(items: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """Return the manifests in another namespace."""
    found = copy.deepcopy(items)
    for item in found:
        item["metadata"]["namespace"] = namespace
    return found


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def widgets(group: str) -> list[dict[str, Any]]:
    """Return a widget and, after it, the definition that its kind needs."""
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}},
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"widgets.{group}"},
            "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
        },
    ]


def test_the_server_checks_manifests_and_keeps_nothing(cluster: Cluster) -> None:
    good = here(manifests({}), cluster.namespace)
    assert list(server_findings(cluster, good)) == []
    assert cluster.find("Deployment", "web") is None
    bad = here(
        manifests({"deployment.spec.replicaas": 3, "service.spec.ports.0.port": 70000}), cluster.namespace
    )
    found = {item.object.split()[0]: item.sentence for item in server_findings(cluster, bad)}
    assert "field not declared in schema" in found["Deployment"]
    assert "between 1 and 65535" in found["Service"]


def test_good_manifests_are_applied_in_order_and_a_second_time_change_nothing(cluster: Cluster) -> None:
    items = here(manifests({"deployment.spec.replicas": 0, "pdb": None}), cluster.namespace)
    first = apply_manifests(cluster, list(reversed(items)), say=lambda _: None)
    kinds = [item.object.split()[0] for item in first]
    assert kinds == ["ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "Deployment", "Ingress"]
    assert {item.change for item in first} == {"created"}
    again = apply_manifests(cluster, items, say=lambda _: None)
    assert {item.change for item in again} == {"unchanged"}
    items[1]["metadata"]["labels"] = {"new": "one"}
    third = apply_manifests(cluster, items, say=lambda _: None)
    assert [item.change for item in third].count("configured") == 1


def test_an_object_of_the_cluster_is_linted_with_what_is_around_it(cluster: Cluster) -> None:
    assert kind_of("deploy") == "Deployment"
    found = lint_object(cluster, "Deployment", "web")
    assert [item.rule for item in found] == []
    cluster.delete("NetworkPolicy", "web")
    (finding,) = lint_object(cluster, "Deployment", "web")
    assert finding.rule == "network-policy"
    with pytest.raises(NotFound):
        lint_object(cluster, "Deployment", "wob")


def test_definitions_come_first_and_unknown_kinds_are_told_in_one_sentence(cluster: Cluster) -> None:
    group = f"{cluster.namespace}.example.com"
    widget, definition = widgets(group)
    with pytest.raises(NotFound, match=f"has no kind Widget in {group}/v1"):
        apply_manifests(cluster, [config_map("not-made"), widget], say=lambda _: None)
    assert cluster.find("ConfigMap", "not-made") is None
    try:
        done = apply_manifests(cluster, [widget, definition], say=lambda _: None)
        assert [item.change for item in done] == ["created", "created"]
        assert cluster.get(f"{group}/v1/Widget", "one")["spec"] == {"size": 1}
    finally:
        cluster.delete("CustomResourceDefinition", f"widgets.{group}")


def test_objects_of_others_are_refused_with_their_owner_unless_taken_over(cluster: Cluster) -> None:
    body = config_map("theirs", a="1")
    cluster.apply(
        {**body, "metadata": {**body["metadata"], "namespace": cluster.namespace}}, manager="somebody"
    )
    with pytest.raises(Conflict, match="theirs is there already and belongs to somebody who used somebody"):
        apply_manifests(cluster, [config_map("ours"), config_map("theirs", a="2")], say=lambda _: None)
    assert cluster.find("ConfigMap", "ours") is None
    apply_manifests(cluster, [config_map("theirs", a="2")], take_over=True, say=lambda _: None)
    assert cluster.get("ConfigMap", "theirs")["data"] == {"a": "2"}


def test_a_refusal_names_the_object_and_how_many_were_applied(cluster: Cluster) -> None:
    wrong = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "wrong"},
        "spec": {"ports": [{"port": 0}]},
    }
    with pytest.raises(Rejected, match=r"Service wrong was refused(.|\n)*1 of 2 objects were applied"):
        apply_manifests(cluster, [config_map("before"), wrong], say=lambda _: None)
    with pytest.raises(UsageError, match="stands in the list twice"):
        apply_manifests(cluster, [config_map("a"), config_map("a")], say=lambda _: None)


def test_three_hundred_objects_take_one_request_each_and_two_looks(cluster: Cluster) -> None:
    items = [config_map(f"many-{i}", number=str(i)) for i in range(300)]
    before = cluster.transport.sent
    said: list[str] = []
    done = apply_manifests(cluster, items, say=said.append)
    assert len(done) == 300
    assert cluster.transport.sent - before == 302
    assert said == ["300 of 300 objects: ConfigMap"]


def test_the_command_applies_checks_and_lints(local_cluster: Any, cluster: Cluster, tmp_path: Path) -> None:
    where = ("--kubeconfig", str(local_cluster.kubeconfig), "--namespace", cluster.namespace)
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(config_map("by-command", a="1")))
    dry = command("apply", "-f", str(file), "--dry-run=server", *where)
    assert (dry.returncode, dry.stdout) == (0, "ConfigMap by-command created (server dry run)\n"), dry.stderr
    assert cluster.find("ConfigMap", "by-command") is None
    done = command("apply", "-f", "-", "-o", "json", *where, stdin=file.read_text())
    assert json.loads(done.stdout) == [{"object": "ConfigMap by-command", "change": "created"}]
    linted = command("lint", str(file), "deployment/web", "--server", *where)
    assert linted.returncode == 1
    assert "[network-policy]" in linted.stdout
