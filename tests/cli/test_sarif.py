"""What `mlk8s lint -o sarif` prints is SARIF 2.1.0, by the schema of OASIS (tests/assess/schemas)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator, FormatChecker

from mlk8s.assess.lint import RULES
from mlk8s.assess.lint.sarif import SCHEMA, sarif
from mlk8s.cli.linting import findings, lint_files
from mlk8s.cli.manifests import read_manifests
from tests.assess.lint_cases import BAD, manifests

FOLDER = Path(__file__).parents[1] / "assess" / "schemas"
TEXT = (FOLDER / "sarif-schema-2.1.0.json").read_bytes()
VALID = Draft4Validator(json.loads(TEXT), format_checker=FormatChecker())


def faults(log: Any) -> list[str]:
    return [f"{'.'.join(map(str, item.absolute_path))}: {item.message}" for item in VALID.iter_errors(log)]


def test_the_schema_is_the_one_that_is_named() -> None:
    assert json.loads(TEXT)["id"] == SCHEMA
    assert hashlib.sha256(TEXT).hexdigest() in (FOLDER / "README.md").read_text()


def test_findings_of_every_rule_are_valid(tmp_path: Path) -> None:
    for rule, changes in BAD.items():
        (tmp_path / f"{rule}.yaml").write_text(yaml.safe_dump_all(manifests(changes)))
    records = [
        record
        for file in sorted(tmp_path.iterdir())
        for record in findings(read_manifests([str(file)]), whole=True, schemas="none")[0]
    ]
    log = sarif(records, "1.0.0")
    assert faults(log) == []
    assert set(BAD) <= {item["ruleId"] for item in log["runs"][0]["results"]} <= set(RULES)
    assert len(log["runs"][0]["results"]) == len(records)


@pytest.mark.parametrize("name", ["a.yaml", "sub folder/50% größer.yaml", "a#b?c.yaml"])
def test_any_file_name_is_a_valid_address(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n")
    assert lint_files([name], "sarif", schemas="none") == 1
    log = json.loads(capsys.readouterr().out)
    assert faults(log) == []
    assert log["runs"][0]["results"]


def test_findings_without_a_file_and_logs_without_findings_are_valid() -> None:
    known = {"severity": "warning", "sentence": "s", "fix": "f", "path": ""}
    records = [
        known | {"rule": "not-a-rule-of-ours", "object": "Pod a/b"},
        known | {"rule": "bare-pod", "object": "Pod a/b", "file": "<stdin>", "line": 1},
    ]
    log = sarif(records, "1")
    assert faults(log) == []
    assert all("physicalLocation" not in item["locations"][0] for item in log["runs"][0]["results"])
    assert faults(sarif([], "1")) == []


def test_the_schema_would_tell() -> None:
    log = sarif([], "1")
    log["runs"][0]["results"] = [{"message": {"text": "x"}, "level": "fatal", "locations": [{"line": 1}]}]
    assert len(faults(log)) == 2
