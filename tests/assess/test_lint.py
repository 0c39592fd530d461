"""The rules: each finds its fault, none finds one where nothing is wrong; waivers need a reason."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlk8s.assess.lint import RULES, Waiver, lint
from tests.assess.lint_cases import AUTOSCALED, BAD, GOOD_SETS, manifests
from tests.render.cases import rendered


def found(items: list[dict[str, Any]], **options: Any) -> set[str]:
    return {item.rule for item in lint(items, **options)}


@pytest.mark.parametrize("name", GOOD_SETS)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    assert lint(manifests(GOOD_SETS[name]), whole=True) == []


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_finds_its_fault_and_says_where_and_how_to_correct_it(rule: str) -> None:
    findings = [item for item in lint(manifests(BAD[rule])) if item.rule == rule]
    assert findings, f"{rule} found nothing"
    for item in findings:
        assert item.severity == RULES[rule].severity
        assert item.sentence
        assert item.fix
        assert item.object.count(" ") == 1


def test_there_is_a_bad_manifest_for_every_rule_and_none_besides() -> None:
    assert set(BAD) == set(RULES)


@pytest.mark.parametrize("name", rendered())
def test_what_we_render_gives_no_finding(name: str) -> None:
    assert lint(rendered()[name]) == []


def test_a_waiver_needs_a_rule_that_exists_a_reason_and_a_finding() -> None:
    items = manifests(BAD["node-port"])
    annotations = items[3]["metadata"].setdefault("annotations", {})
    annotations["mlk8s.dev/waive"] = "node-port: the router of the office leads here"
    assert found(items) == set()
    annotations["mlk8s.dev/waive"] = "node-port"
    assert found(items) == {"waiver", "node-port"}
    annotations["mlk8s.dev/waive"] = "node-prot: why not"
    assert found(items) == {"waiver", "node-port"}
    annotations["mlk8s.dev/waive"] = "node-port: because; external-ips: because"
    assert found(items) == {"unused-waiver"}
    annotations["mlk8s.dev/waive"] = "node-port: because; duplicate-object: its twin is in another folder"
    assert found(items) == set()


def test_a_waiver_of_a_file_counts_for_the_objects_that_it_names() -> None:
    items = manifests(BAD["node-port"])
    assert found(items, waivers=[Waiver("node-port", "a reason", "Service team/*")]) == set()
    assert found(items, waivers=[Waiver("node-port", "a reason", "Service other/*")]) == {"node-port"}
    assert found(items, waivers=[Waiver("node-port", "")]) == {"node-port", "waiver"}
    assert found(items, waivers=[Waiver("node-port", "r"), Waiver("spread", "r")]) == {"unused-waiver"}


def test_references_that_may_be_elsewhere_are_only_missed_in_a_whole_set() -> None:
    items = manifests({"config": None, "account": None})
    assert "missing-reference" not in found(items)
    assert len([item for item in lint(items, whole=True) if item.rule == "missing-reference"]) == 2


def test_a_service_alone_is_not_said_to_select_nothing() -> None:
    (service,) = (item for item in manifests({}) if item["kind"] == "Service")
    assert lint([service]) == []


def test_a_budget_is_compared_with_the_minimum_of_the_autoscaler() -> None:
    budget = {"pdb.spec.maxUnavailable": None, "pdb.spec.minAvailable": 2}
    (finding,) = lint(manifests(AUTOSCALED | budget))
    assert finding.rule == "blocking-budget"
    assert "HorizontalPodAutoscaler team/web may go down to 2 pods" in finding.sentence
    share = {"pdb.spec.maxUnavailable": None, "pdb.spec.minAvailable": "50%"}
    assert lint(manifests(AUTOSCALED | share)) == []


def test_a_finding_names_the_path_of_the_field() -> None:
    (finding,) = lint(manifests(BAD["host-ports"]))
    assert finding.path == "spec.template.spec.containers[0].ports[0].hostPort"
    assert finding.object == "Deployment team/web"
    assert "container web" in finding.sentence


_ODD = st.sampled_from(
    [None, True, -1, 1.5, "", "x", [], [[]], {}, [None], {"name": None}, {"": [1]}, [{"name": 3}]]
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_shape_of_a_manifest_makes_the_linter_fail(data: st.DataObject) -> None:
    changes = dict(BAD[data.draw(st.sampled_from(sorted(BAD)))])
    items = manifests(changes)
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = data.draw(st.sampled_from(items))
        while isinstance(place, (dict, list)) and place:
            keys = sorted(place, key=str) if isinstance(place, dict) else range(len(place))
            key = data.draw(st.sampled_from(list(keys)))
            if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
                place[key] = copy.deepcopy(data.draw(_ODD))
                break
            place = place[key]
    lint(items, whole=True)


PLATFORM = Path(__file__).parents[2] / "manifests" / "platform"


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    texts = [path.read_text(encoding="utf-8") for path in paths if path.name != "kustomization.yaml"]
    return [item for text in texts for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def test_platform_manifests_pass_with_their_waivers() -> None:
    findings = lint(read(sorted(PLATFORM.glob("*.yaml"))))
    assert [(item.object, item.rule, item.sentence) for item in findings] == []


@pytest.mark.parametrize("part", sorted(PLATFORM.glob("optional/*.yaml")), ids=lambda path: path.stem)
def test_optional_parts_pass_with_their_waivers(part: Path) -> None:
    assert [(item.object, item.rule, item.sentence) for item in lint(read([part]))] == []
