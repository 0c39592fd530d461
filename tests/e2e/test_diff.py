"""What an apply would change, asked of the real cluster: nothing kept, secrets masked, exit codes."""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx_models import scaling

import mlk8s
from mlk8s.assess.difference import Difference
from mlk8s.errors import NotFound
from mlk8s.operations.bulk import apply_manifests
from mlk8s.operations.connection import Kubernetes
from mlk8s.operations.diff import diff_manifests, diff_service
from mlk8s.spec.service import Route
from mlk8s.storage.models import upload_model
from tests.cli.shell import mlk8s as command

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "keys"},
    "stringData": {"a": "one", "b": "two"},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "plain"},
    "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]},
}


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


def change(differences: list[Difference]) -> dict[str, str]:
    return {item.object.split()[0]: item.change for item in differences}


def test_only_what_would_change_is_shown_and_secrets_are_masked(k8s: Kubernetes) -> None:
    cluster = k8s.cluster
    added = diff_manifests(cluster, [SECRET, SERVICE])
    assert change(added) == {"Secret": "added", "Service": "added"}
    assert cluster.find("Service", "plain") is None
    apply_manifests(cluster, [SECRET, SERVICE], say=lambda _: None)
    assert diff_manifests(cluster, [SECRET, SERVICE]) == []  # the server's defaults are no difference
    changed = copy.deepcopy([SECRET, SERVICE])
    changed[0]["stringData"]["a"] = "three"  # type: ignore[index]
    changed[1]["spec"]["ports"][0]["port"] = 81  # type: ignore[index]
    secret, service = diff_manifests(cluster, changed)
    assert "-  a: '*** (before)'".replace("'", '"') in secret.text
    assert "+  a: '*** (after)'".replace("'", '"') in secret.text
    for word in ("one", "two", "three"):
        assert base64.b64encode(word.encode()).decode() not in secret.text
    lines = [line for line in service.text.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == ["-  - port: 80", "+  - port: 81", "-    targetPort: 80", "+    targetPort: 81"]


def test_a_spec_is_compared_with_the_cluster_and_a_service_with_its_spec(k8s: Kubernetes) -> None:
    url = upload_model(scaling(2.0), f"s3://models/{k8s.namespace}/1", config=k8s.storage()).url
    spec = mlk8s.ModelService(name="drift", model=url, replicas=1)
    assert set(change(k8s.diff(spec, say=lambda _: None)).values()) == {"added"}
    k8s.deploy(spec, wait=False, say=lambda _: None)
    assert k8s.diff(spec, say=lambda _: None) == []
    inside = spec.replace(route=None)
    found = change(k8s.diff(inside, say=lambda _: None))
    assert found["Ingress"] == "removed"
    assert found["Deployment"] == "changed"
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 77}}}}
    k8s.cluster.patch("Deployment", "drift", patch, type="strategic", manager="somebody")
    (drift,) = diff_service(k8s.cluster, k8s.platform, "drift", say=lambda _: None)
    assert "-      terminationGracePeriodSeconds: 77" in drift.text
    with pytest.raises(NotFound, match="no model service is named 'wob'"):
        diff_service(k8s.cluster, k8s.platform, "wob")
    assert spec.route == Route()


def test_the_exit_code_tells_nothing_something_or_trouble(
    local_cluster: Any, k8s: Kubernetes, tmp_path: Path
) -> None:
    where = ("--kubeconfig", str(local_cluster.kubeconfig), "--namespace", k8s.namespace)
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(SERVICE))
    same = command("diff", "-f", str(file), *where)
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    file.write_text(yaml.safe_dump(SERVICE).replace("port: 80", "port: 82"))
    other = command("diff", "-f", str(file), *where)
    assert other.returncode == 1
    assert "+  - port: 82" in other.stdout
    file.write_text(yaml.safe_dump(SERVICE).replace("port: 80", "port: 0"))
    trouble = command("diff", "-f", str(file), *where)
    assert trouble.returncode == 2
    assert command("diff", *where).returncode == 2
