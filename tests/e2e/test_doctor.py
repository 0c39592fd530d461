"""`mlk8s doctor` on the real cluster: what is there is found, what is missing or forbidden is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e_tools import kubeconfig_of_service_account

from mlk8s.clients.cluster import Cluster


def doctor(*arguments: str, kubeconfig: object, code: int = 0) -> dict[str, list[dict[str, str]]]:
    """Run it and return its findings by check."""
    command = [
        sys.executable,
        "-m",
        "mlk8s",
        "doctor",
        "-o",
        "json",
        "--kubeconfig",
        str(kubeconfig),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, list[dict[str, str]]] = {}
    for item in json.loads(done.stdout):
        found.setdefault(item["check"], []).append(item)
    return found


def statuses(found: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {check: items[0]["status"] for check, items in found.items()}


@pytest.fixture(scope="module")
def cluster(local_cluster: Any, namespace: str) -> Cluster:
    return Cluster.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


def test_the_local_cluster_has_everything(local_cluster: Any, cluster: Cluster) -> None:
    found = doctor("-n", cluster.namespace, kubeconfig=local_cluster.kubeconfig)
    assert {item["status"] for items in found.values() for item in items} == {"ok"}, found
    assert "Traefik" in found["ingress"][0]["found"]
    assert "simulated" in found["GPU"][0]["found"]
    assert "node agent" in found["NetworkPolicy"][0]["found"]


def test_a_probe_sees_that_policies_are_enforced_and_leaves_nothing(
    local_cluster: Any, cluster: Cluster
) -> None:
    found = doctor("--probe", kubeconfig=local_cluster.kubeconfig)
    ingress, egress = found["NetworkPolicy"]
    assert (ingress["status"], egress["status"]) == ("ok", "ok"), (ingress, egress)
    left = [
        item["metadata"]["name"]
        for item in cluster.list("Namespace")
        if item["metadata"]["name"].startswith("mlk8s-doctor-")
        and "deletionTimestamp" not in item["metadata"]
    ]
    assert not left


def test_a_probe_whose_image_is_not_there_says_so(local_cluster: Any) -> None:
    found = doctor("--probe", "--probe-image", "localhost/nothing:1", kubeconfig=local_cluster.kubeconfig)
    (finding,) = found["NetworkPolicy"]
    assert finding["status"] == "unknown" and "Pull" in finding["found"]


def test_a_namespace_that_is_not_there_fails(local_cluster: Any) -> None:
    found = doctor("-n", "nowhere", kubeconfig=local_cluster.kubeconfig, code=1)
    assert statuses(found)["namespace"] == "fail"
    assert "kubectl create namespace nowhere" in found["namespace"][0]["do"]


def test_a_user_with_few_rights_is_told_which_are_missing(
    local_cluster: Any, cluster: Cluster, tmp_path: Path
) -> None:
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}]
    few = kubeconfig_of_service_account(local_cluster, cluster, "deployments-only", rules, tmp_path)
    found = doctor("-n", cluster.namespace, kubeconfig=few, code=1)
    missing = found["permissions"][0]["found"]
    assert "ingresses.networking.k8s.io" in missing and "deployments.apps" not in missing
    assert statuses(found)["nodes"] == "unknown"
    assert "nodes is forbidden" in found["nodes"][0]["found"]


def test_a_cordoned_node_is_told(local_cluster: Any, cluster: Cluster) -> None:
    (node,) = [item["metadata"]["name"] for item in cluster.list("Node")]
    cluster.patch("Node", node, {"spec": {"unschedulable": True}})
    try:
        found = doctor("-n", cluster.namespace, kubeconfig=local_cluster.kubeconfig, code=1)
    finally:
        cluster.patch("Node", node, {"spec": {"unschedulable": None}})
    assert [item["status"] for item in found["nodes"]] == ["fail", "warn"]
    assert "cordoned" in found["nodes"][1]["found"]


def test_a_class_that_ignores_canaries_is_told(local_cluster: Any, cluster: Cluster) -> None:
    metadata = {
        "name": "kong",
        "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
    }
    spec = {"controller": "ingress-controllers.konghq.com/kong"}
    kong = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": metadata, "spec": spec}
    described = cluster.get("ConfigMap", "mlk8s-platform", "mlk8s-system")["data"]["ingress-class"]
    cluster.create(kong)
    cluster.patch("ConfigMap", "mlk8s-platform", {"data": {"ingress-class": "kong"}}, "mlk8s-system")
    try:
        found = doctor("-n", cluster.namespace, kubeconfig=local_cluster.kubeconfig)
    finally:
        cluster.patch("ConfigMap", "mlk8s-platform", {"data": {"ingress-class": described}}, "mlk8s-system")
        cluster.delete("IngressClass", "kong")
    (finding,) = found["ingress"]
    assert finding["status"] == "warn" and "Kong" in finding["found"] and "Traefik >= 3.7" in finding["do"]
