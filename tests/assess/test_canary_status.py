"""A canary's status tells what is there, not what was written down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlk8s.assess.canary import CanaryFacts, CanaryRecord, Phase, assess_canary, last_writer
from mlk8s.assess.split import assess_split

RECORD = CanaryRecord(
    model="s3://models/iris/2",
    digest=None,
    weight=10,
    header="X-Canary",
    replicas=1,
    phase="running",
    started="2026-01-01T00:00:00Z",
    updated="2026-01-01T00:00:10Z",
)
FACTS = CanaryFacts("iris", "s3://models/iris/1", RECORD, pods=1, ready=1, weight=10)


def test_no_canary() -> None:
    status = assess_canary(CanaryFacts("iris", "s3://models/iris/1", None))
    assert status.phase == "none"
    assert status.allowed == ("start",)
    assert str(status) == "iris: no canary; s3://models/iris/1 has all requests"


def test_running_as_recorded() -> None:
    status = assess_canary(FACTS)
    assert (status.phase, status.weight, status.ready, status.notes) == ("running", 10, 1, ())
    assert status.allowed == ("weight", "promote", "rollback")


def test_weight_changed_by_hand_is_told_and_shown() -> None:
    status = assess_canary(replace(FACTS, weight=40))
    assert status.weight == 40
    assert status.notes == ("the weight was set to 10 and is 40: changed from outside",)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"weight": None}, "its traffic rule is gone: it gets no requests"),
        ({"pods": None, "ready": None}, "its Deployment is gone"),
        ({"ready": 0}, "none of its pods is ready"),
    ],
)
def test_what_is_missing_is_told(change: dict[str, int | None], note: str) -> None:
    assert note in assess_canary(replace(FACTS, **change)).notes


@pytest.mark.parametrize(
    ("phase", "allowed"),
    [
        ("starting", ("start", "rollback")),
        ("promoting", ("promote", "rollback")),
        ("rolling-back", ("rollback",)),
    ],
)
def test_a_killed_operation_is_told_with_its_ways_out(phase: Phase, allowed: tuple[str, ...]) -> None:
    killed = replace(FACTS, record=replace(RECORD, phase=phase))
    status = assess_canary(killed)
    assert status.allowed == allowed
    assert status.notes[0] == f"the process that left it {phase} at 2026-01-01T00:00:10Z is gone"
    at_work = assess_canary(replace(killed, operator="ann@laptop:1:aa"))
    assert at_work.notes == ()
    assert "ann@laptop" in str(at_work)


def test_objects_without_a_record_are_leftovers() -> None:
    facts = replace(FACTS, record=None, leftovers=("Deployment iris-canary",))
    status = assess_canary(facts)
    assert (status.phase, status.allowed) == ("leftover", ("rollback",))
    assert status.notes == ("objects of a canary without a record: Deployment iris-canary",)


def test_text_has_the_split() -> None:
    text = str(replace(assess_canary(FACTS), split=assess_split(200, 21, 10)))
    assert "21 of 200 requests (10.5 %)" in text
    assert "X-Canary: always | never" in text


def test_who_changed_a_rule_in_the_second_of_our_own_write_is_named() -> None:
    def rule(*writes: tuple[str, str]) -> dict[str, Any]:
        return {"metadata": {"managedFields": [{"manager": who, "time": when} for who, when in writes]}}

    one, two = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
    assert last_writer(rule(("mlk8s", one), ("kubectl-annotate", one))) == "kubectl-annotate"
    assert last_writer(rule(("kubectl-annotate", one), ("mlk8s", one))) == "kubectl-annotate"
    assert last_writer(rule(("kubectl-annotate", one), ("mlk8s", two))) == "mlk8s"
    assert last_writer(None) is None
