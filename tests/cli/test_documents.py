"""Specs as files: what they become, and the line of every fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlk8s.cli.documents import read_specs
from mlk8s.errors import Mlk8sError, SpecError, UsageError
from mlk8s.spec.job import FeatureCronJob, FeatureJob
from mlk8s.spec.service import ModelService
from mlk8s.spec.workload import StatefulSet

SERVICE = """\
apiVersion: mlk8s.dev/v1
kind: ModelService
metadata:
  name: iris
  namespace: flowers
  labels: {team: a}
spec:
  model: s3://models/iris/1
  autoscale:
    min: 1
    max: 8
    target: 4
  resources:
    cpu: 250m
"""


def read(tmp_path: Path, text: str) -> list[object]:
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    return list(read_specs(str(file)))


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(Mlk8sError) as caught:
        read(tmp_path, text)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_every_kind_becomes_its_spec(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("def build():\n    return {}\n")
    job = "{source: features.py, output: s3://features/iris, active_deadline: 10m}"
    service, once, nightly = read(
        tmp_path,
        SERVICE
        + "---\napiVersion: mlk8s.dev/v1\nkind: FeatureJob\nmetadata: {name: once}\n"
        + f"spec: {job}\n---\n---\n"
        + "apiVersion: mlk8s.dev/v1\nkind: FeatureCronJob\nmetadata: {name: nightly, namespace: flowers}\n"
        + f"spec: {{schedule: 15 3 * * *, job: {job}}}\n",
    )
    assert isinstance(service, ModelService)
    assert (service.name, service.namespace, service.labels) == ("iris", "flowers", {"team": "a"})
    assert service.autoscale is not None and service.autoscale.max == 8
    assert service.resources.cpu == "250m"
    assert isinstance(once, FeatureJob) and "def build" in once.source and once.active_deadline == 600
    assert isinstance(nightly, FeatureCronJob)
    assert (nightly.job.name, nightly.job.namespace) == ("nightly", "flowers")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("max: 8", "max: 0", "spec.yaml:11: spec.autoscale.max: "),
        ("max: 8", "maximum: 8", "spec.yaml:11: spec.autoscale.maximum: no such field; did you mean 'max'?"),
        ("min: 1", "min: 9", "spec.yaml:9: spec.autoscale: min 9 is above max 8"),
        ("cpu: 250m", "cpu: lots", "spec.yaml:14: spec.resources.cpu: expected a Kubernetes quantity"),
        ("name: iris", "name: Iris", "spec.yaml:4: metadata.name: expected a DNS-1123 label"),
        ("  model: s3://models/iris/1\n", "", "spec.yaml:7: spec.model: is required"),
        ("target: 4", "target: 4\n    target: 5", "spec.yaml:13"),
        ("target: 4", "target: [4", "spec.yaml:13:12"),
        ("kind: ModelService", "kind: Deployment", "spec.yaml:2"),
        ("apiVersion: mlk8s.dev/v1", "apiVersion: v1", "spec.yaml:1"),
        ("  labels: {team: a}", "  annotations: {a: b}", "spec.yaml:6"),
        ("  model:", "  namespace: other\n  model:", "spec.yaml:8"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SERVICE
    message = refusal(tmp_path, SERVICE.replace(old, new))
    assert expected in message, message


SET = """\
apiVersion: mlk8s.dev/v1
kind: StatefulSet
metadata: {name: vectors}
spec:
  replicas: 2
  containers:
    - name: main
      image: registry/vectors:1
    - name: side
      image: registry/side:1
      ports: {http: 8080}
  storage: {name: data, size: 1Gi}
"""


def test_every_registered_kind_is_read_and_faults_in_lists_have_their_line(tmp_path: Path) -> None:
    (made,) = read(tmp_path, SET)
    assert isinstance(made, StatefulSet)
    assert [item.name for item in made.containers] == ["main", "side"]
    assert made.storage[0].size == "1Gi"
    message = refusal(tmp_path, SET.replace("http: 8080", "http: 80800"))
    assert "spec.yaml:11: spec.containers.1.ports" in message, message
    message = refusal(tmp_path, SET.replace("image: registry/side:1", "imagee: a"))
    assert "spec.yaml:10: spec.containers.1.imagee: no such field; did you mean 'image'?" in message, message


def test_every_fault_of_one_mapping_is_told_at_once(tmp_path: Path) -> None:
    text = SERVICE.replace("model: s3://models/iris/1", "model: iris\n  max_in_flight: -1")
    message = refusal(tmp_path, text)
    assert "spec.yaml:8: spec.model" in message and "spec.yaml:9: spec.max_in_flight" in message


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_a_file_without_documents_is_refused(tmp_path: Path, text: str) -> None:
    assert "no document" in refusal(tmp_path, text)


def test_a_list_a_binary_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    assert "not a mapping" in refusal(tmp_path, "- a\n- b\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_specs(str(tmp_path / "binary.yaml"))
    with pytest.raises(UsageError, match="No such file"):
        read_specs(str(tmp_path / "missing.yaml"))


def test_an_anchor_that_contains_itself_is_refused(tmp_path: Path) -> None:
    assert "contains itself" in refusal(tmp_path, "&a\nspec: *a\n")


def test_a_source_that_is_missing_is_a_spec_error_with_its_line(tmp_path: Path) -> None:
    text = (
        "apiVersion: mlk8s.dev/v1\nkind: FeatureJob\nmetadata: {name: a}\n"
        "spec:\n  output: s3://f/a\n  source: b.py\n"
    )
    with pytest.raises(SpecError, match=r":6: spec.source: cannot read the source file"):
        read(tmp_path, text)
