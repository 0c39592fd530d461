"""A blue/green service's status: what the cluster holds decides, not what was written down."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from mlk8s.assess.bluegreen import (
    ANNOTATION,
    BlueGreenFacts,
    BlueGreenRecord,
    ColourFacts,
    Phase,
    Verb,
    asleep,
    assess_bluegreen,
    retained,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = ColourFacts("s3://models/iris/1", 2, 2), ColourFacts("s3://models/iris/2", 3, 3)


def record(phase: Phase) -> BlueGreenRecord:
    return BlueGreenRecord(phase=phase, newer="green", retain=60.0, since="2026-01-01T00:00:00Z")


def facts(phase: Phase | None) -> BlueGreenFacts:
    live = "green" if phase == "switched" else "blue"
    return BlueGreenFacts(
        service="iris", record=record(phase) if phase else None, live=live,
        colours={"blue": OLD, "green": NEW} if phase else {"blue": OLD}, operator=None,
        now=START + timedelta(seconds=20),
    )  # fmt: skip


def test_an_ordinary_service_is_blue_and_has_no_second_colour() -> None:
    found = assess_bluegreen(facts(None))
    assert (found.phase, found.live, found.idle, found.notes) == ("single", "blue", None, ())
    assert (found.model, found.ready, found.allowed) == (OLD.model, 2, ("deploy",))


@pytest.mark.parametrize(
    ("phase", "allowed"),
    [
        ("starting", ("deploy", "switch", "finish")),
        ("preview", ("deploy", "switch", "finish")),
        ("switching", ("switch", "back")),  # cut off: go on or undo, and nothing else
        ("switched", ("back", "finish")),  # a deploy would overwrite the version to go back to
    ],
)
def test_what_may_be_done_follows_from_the_phase(phase: Phase, allowed: tuple[Verb, ...]) -> None:
    found = assess_bluegreen(facts(phase))
    assert found.allowed == allowed
    assert found.model == (NEW if phase == "switched" else OLD).model
    assert found.idle_model == (OLD if phase == "switched" else NEW).model


def test_the_old_colour_is_kept_for_its_time_after_a_switch_only() -> None:
    assert assess_bluegreen(facts("switched")).retained == 40.0
    assert assess_bluegreen(facts("preview")).retained == 0.0
    assert retained(record("switched"), START + timedelta(seconds=61)) == 0.0


def test_blue_without_pods_is_no_idle_colour_while_green_is_alone() -> None:
    alone = replace(facts("switched"), record=record("single"), live="green")
    asleep = replace(alone, colours={"blue": replace(OLD, pods=0, ready=0), "green": NEW})
    assert assess_bluegreen(asleep).idle is None
    assert assess_bluegreen(asleep).live == "green"
    assert assess_bluegreen(alone).idle == "blue"  # somebody scaled it up again


def test_what_is_not_as_it_was_written_down_is_told() -> None:
    left = assess_bluegreen(facts("switching"))
    assert left.notes == ("the process that left it switching at 2026-01-01T00:00:00Z is gone",)
    assert assess_bluegreen(replace(facts("switching"), operator="somebody")).notes == ()
    led_back = assess_bluegreen(replace(facts("switched"), live="blue"))
    assert led_back.notes == ("the Service was led back to blue from outside",)
    down = replace(facts("preview"), colours={"blue": replace(OLD, ready=0), "green": replace(NEW, ready=0)})
    assert assess_bluegreen(down).notes == (
        "blue has the requests, and none of its pods is ready", "none of the idle pods is ready",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        (json.dumps(asdict(record("single"))), True),  # green is alone
        (json.dumps(asdict(record("preview"))), False),
        (None, False),  # blue is alone
        ("{", False),
    ],
)
def test_blue_is_asleep_while_green_is_alone(text: str | None, idle: bool) -> None:
    annotations = {} if text is None else {ANNOTATION: text}
    assert asleep({"metadata": {"name": "iris", "annotations": annotations}}) is idle
