"""`mlk8s lint` on files: what is read and refused, the lines, the forms of output, corrections in place."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from mlk8s.assess.lint.sarif import sarif
from mlk8s.assess.schema import Schemas
from mlk8s.cli.fixes import fix_files
from mlk8s.cli.linting import findings
from mlk8s.cli.manifests import read_manifests
from mlk8s.cli.schemas import load_schemas
from mlk8s.cli.yaml_lines import parse_all
from mlk8s.errors import UsageError
from mlk8s.render.service import render_service
from tests.assess.lint_cases import manifests
from tests.cli.shell import mlk8s
from tests.render.cases import FACTS, PLAIN

BAD = """\
# the budget
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, labels: {tier: 1}}   # one
spec:
  # no pod may go
  maxUnavailable: 0
  selectr: {matchLabels: {app: web}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
data:
  port: 0x1F   # hexadecimal
"""


def rules(text: str, folder: Path) -> list[tuple[str, int]]:
    file = folder / "a.yaml"
    file.write_text(text, encoding="utf-8")
    records, _ = findings(read_manifests([str(file)]))
    return sorted((item["rule"], item["line"]) for item in records)


def test_findings_have_the_line_of_their_field(tmp_path: Path) -> None:
    assert rules(BAD, tmp_path) == [
        ("blocking-budget", 7), ("names", 4), ("schema", 8), ("text-expected", 15), ("unhealthy-eviction", 5),
    ]  # fmt: skip


def test_a_misspelt_field_or_kind_names_the_nearest_right_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD.replace("kind: ConfigMap", "kind: ConfigMapp"), encoding="utf-8")
    records, _ = findings(read_manifests([str(tmp_path)]))
    sentences = [item["sentence"] for item in records if item["rule"] == "schema"]
    assert "there is no field selectr; did you mean selector?" in sentences
    assert "there is no kind ConfigMapp in v1; did you mean ConfigMap?" in sentences


def test_what_this_repository_exports_and_the_platform_have_no_finding() -> None:
    folder = Path(__file__).parents[2] / "manifests"
    read = read_manifests([str(folder)])
    assert len(read.sources) > 100 and any("Helm renders it" in note for note in read.notes)
    assert findings(read)[0] == []
    for part in ("base", "canary", "models", "platform"):
        assert findings(read_manifests([str(folder / part)]))[0] == [], part


def test_the_schemas_know_every_good_manifest_and_say_what_has_the_wrong_type() -> None:
    schemas, _ = load_schemas("1.35")
    assert isinstance(schemas, Schemas)
    items = [*manifests({}), *render_service(PLAIN, FACTS)]
    assert [fault for item in items for fault in schemas.check(item)] == []
    wrong = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"ports": {"port": "x"}},
    }
    assert list(schemas.check(wrong)) == [(("spec", "ports"), "expected a list, found a mapping")]
    with pytest.raises(UsageError, match=r"no schemas of Kubernetes 1\.2"):
        load_schemas("1.2")


def test_lists_folders_several_documents_anchors_and_foreign_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: &m {name: a, namespace: default}}\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {<<: *m, name: b}}\n"
        "---\n---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {anything: 1}\n"
    )
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    (tmp_path / "item.json").write_text('{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}')
    read = read_manifests([str(tmp_path)])
    assert [item["metadata"]["name"] for item in read.bodies] == ["s", "a", "b", "w"]
    records, notes = findings(read)
    assert [(item["rule"], item["line"]) for item in records] == [
        ("default-namespace", 4),
        ("default-namespace", 5),
    ]
    assert any("Widget" in note and "not checked" in note for note in notes)
    assert any("values.yaml" in note for note in read.notes)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2\n", "f.yaml:2:2"),
        ("a: 1\nb: 2\na: 3\n", "a is given twice"),
        ("spec:\n  a: {{ .Values.x }}\n", "a template is to be rendered first"),
        ("a: &a {b: *a}\n", "an anchor contains itself"),
        ("[" * 100_000, "nested deeper than"),
        (BOMB, "aliases make"),
        ("a: !Ref b\n", "the tag !Ref is not Kubernetes'"),
        ("a: \x07\n", "f.yaml:1"),
    ],
)
def test_broken_yaml_is_refused_with_its_line_and_in_no_time(text: str, said: str) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError) as refused:
        parse_all(text, "f.yaml")
    assert said in str(refused.value)
    assert "f.yaml:" in str(refused.value)
    assert time.monotonic() - start < 5


def test_scalars_mean_what_they_mean_to_kubernetes() -> None:
    (document,) = parse_all("[yes, 010, 1e3, 22:22, 2026-11-23, '1', 0x1F, ~, 1_000, .5, !!str 5, -]", "x")
    assert document.values == [True, 8, 1000.0, "22:22", "2026-11-23", "1", 31, None, 1000, 0.5, "5", "-"]


def test_a_correction_in_place_keeps_comments_and_layout(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(BAD.replace("\n", "\r\n").encode())
    notes = fix_files([str(file)])
    assert len(notes) == 3
    wanted = BAD.replace("tier: 1", 'tier: "1"').replace("0x1F", '"0x1F"')
    wanted = wanted.replace(
        "maxUnavailable: 0", "unhealthyPodEvictionPolicy: AlwaysAllow\n  maxUnavailable: 0"
    )
    assert file.read_text() == wanted
    assert fix_files([str(file)]) == []


def test_the_command_prints_lines_json_and_sarif_and_ends_with_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    table = mlk8s("lint", "a.yaml", cwd=tmp_path)
    assert table.returncode == 1
    assert "a.yaml:7: error: no pod may go: every drain waits for ever [blocking-budget]" in table.stdout
    assert table.stderr.endswith("2 objects: 4 errors, 1 warning\n")
    records = json.loads(mlk8s("lint", "-o", "json", "-", stdin=BAD).stdout)
    assert {"rule", "severity", "object", "path", "sentence", "fix", "file", "line"} == set(records[0])
    log = json.loads(mlk8s("lint", "a.yaml", "--output", "sarif", cwd=tmp_path).stdout)
    (run,) = log["runs"]
    assert {item["ruleId"] for item in run["results"]} <= {
        item["id"] for item in run["tool"]["driver"]["rules"]
    }
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] > 0
    good = mlk8s("lint", "-", stdin=yaml.safe_dump_all(manifests({})))
    assert (good.returncode, good.stdout) == (0, ""), good.stdout
    missing = mlk8s("lint", "nowhere.yaml", cwd=tmp_path)
    assert missing.returncode == 2
    assert "there is no file 'nowhere.yaml'" in missing.stderr
    folder = mlk8s("lint", "./nowhere", cwd=tmp_path)  # a path, not an object of a cluster
    assert (folder.returncode, "there is no file './nowhere'" in folder.stderr) == (2, True), folder.stderr
    unpromised = mlk8s("alerts", "iris", cwd=tmp_path)  # told before any cluster is asked
    assert (unpromised.returncode, "no promise to watch" in unpromised.stderr) == (2, True), unpromised.stderr


def test_notes_that_say_the_same_are_one(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        (tmp_path / name / "kustomization.yaml").write_text(text)
    done = mlk8s("lint", ".", cwd=tmp_path)
    assert "note: a/kustomization.yaml:1 and 2 more: passed over, kustomize reads it" in done.stderr
    assert done.stderr.count("note: ") == 1


def test_an_empty_sarif_log_is_one_too() -> None:
    log = sarif([], "1")
    assert log["version"] == "2.1.0"
    assert log["runs"][0]["results"] == []


def test_waivers_of_a_file_count_and_their_faults_have_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n"
    )
    config = tmp_path / "waivers.yaml"
    read = read_manifests([str(tmp_path / "a.yaml")])
    config.write_text("waive:\n- {rule: default-namespace, object: ConfigMap default/a, reason: a test}\n")
    assert findings(read, config=str(config))[0] == []
    config.write_text("waive:\n- {rule: default-namespace}\n")
    records, _ = findings(read, config=str(config))
    assert [item["rule"] for item in records] == ["waiver", "default-namespace"]
    assert records[0]["object"] == f"{config}:2"
    config.write_text("waiv: []\n")
    with pytest.raises(UsageError, match="no configuration"):
        findings(read, config=str(config))


def test_ten_megabytes_and_a_thousand_objects_are_read_and_checked_in_seconds(tmp_path: Path) -> None:
    services = [item for i in range(140) for item in render_service(PLAIN.replace(name=f"iris-{i}"), FACTS)]
    big = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "big"},
        "data": {"text": "x" * 9_000_000},
    }
    file = tmp_path / "big.yaml"
    file.write_text(yaml.dump_all([*services, big], Dumper=yaml.CSafeDumper), encoding="utf-8")
    assert file.stat().st_size > 10_000_000
    start = time.process_time()
    records, _ = findings(read_manifests([str(file)]))
    assert records == []
    assert time.process_time() - start < 5
