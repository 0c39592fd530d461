"""A shadow's answers: judged by block, kept as lines, judged again; and outcomes that come later."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import mlk8s.spec.shadow as spec
from mlk8s.assess.evidence.outcomes import compare, read_outcomes
from mlk8s.assess.evidence.shadow import Answer
from mlk8s.assess.evidence.shadow_record import ShadowRecord, counted, judge, judged_until
from mlk8s.errors import SpecError, UsageError

QUICK = spec.Shadow(model="s3://models/iris/2", bound=0.05, errors="independent")


def answers(values: list[Any], slices: tuple[str, ...] = (), start: int = 0) -> list[Answer]:
    return [
        Answer(f"id-{start + number}", str(value), 100.0 + number * 0.1, slices)
        for number, value in enumerate(values)
    ]


def test_same_answers_agree_and_other_ones_differ() -> None:
    stable = answers([1] * 400)
    assert judge(QUICK, stable, answers([1] * 400)).verdict == "agree"
    found = judge(QUICK, stable, answers([2] * 400))
    assert (found.verdict, found.pairs, found.slices[0].different) == ("differ", 400, 400)
    none = judge(QUICK, stable, [])
    assert (none.verdict, none.pairs, none.only_stable) == ("waiting", 0, 400)
    assert "400 without the shadow's answer" in str(none)


def test_one_slice_that_differs_is_enough() -> None:
    stable = [*answers([1] * 900, ("large",)), *answers([1] * 100, ("small",), 900)]
    other = [*answers([1] * 900), *answers([2] * 100, start=900)]
    loose = QUICK.replace(bound=0.3)
    found = judge(loose, stable, other)
    assert {one.name: one.verdict for one in found.slices} == {
        "all": "agree",
        "large": "agree",
        "small": "differ",
    }
    assert found.verdict == "differ"


def test_named_slices_are_tested_and_no_others() -> None:
    stable = answers([1] * 400, ("country=DE", "device=phone"))
    found = judge(QUICK.replace(slices=("country=DE", "country=FR")), stable, answers([1] * 400))
    assert [(one.name, one.verdict) for one in found.slices] == [
        ("all", "agree"),
        ("country=DE", "agree"),
        ("country=FR", "waiting"),
    ]
    assert found.verdict == "waiting", "no request of one of them has come"


def test_only_blocks_that_are_over_are_judged() -> None:
    stable = answers([1] * 300)  # seconds 100 to 130
    until = judged_until(stable, 10.0)
    assert until == 120.0
    assert judge(QUICK, stable, answers([1] * 300), until).pairs == 200
    assert judged_until([], 10.0) <= 0


def test_the_same_body_twice_is_two_requests() -> None:
    twice = [Answer("body:a", "1", 2.0), Answer("body:a", "1", 1.0), Answer("q", "1", 3.0)]
    assert [one.request for one in counted(twice)] == ["body:a#1", "body:a#2", "q"]
    found = judge(QUICK, [*twice, *twice], twice)
    assert (found.pairs, found.only_stable, found.repeated) == (3, 2, 1), "an id that comes twice counts once"


def record(stable: list[Answer], other: list[Answer]) -> ShadowRecord:
    return ShadowRecord("iris", "s3://models/iris/1", QUICK, 100.0, tuple(stable), tuple(other))


def test_a_record_replays_and_a_changed_one_is_told() -> None:
    stable, other = answers([1] * 300, ("a",)), answers([1] * 299 + [2])
    lines = [record(stable, other).head()]
    for part in (slice(0, 150), slice(150, 300)):
        lines += [ShadowRecord.line("stable", one) for one in stable[part]]
        lines += [ShadowRecord.line("shadow", one) for one in other[part]]
        until = judged_until(stable[: part.stop], QUICK.block)
        lines.append(ShadowRecord.verdict_line(judge(QUICK, stable[: part.stop], other[: part.stop], until)))
    lines.append(ShadowRecord.verdict_line(judge(QUICK, stable, other)))
    found = ShadowRecord.read([*lines, '{"of":"sta'])
    assert (found.shadow, found.stable, len(found.decided)) == (QUICK, tuple(stable), 3)
    assert found.differences() == []
    assert [one.pairs for one in found.replay()] == [100, 200, 300]
    changed = [line.replace('"verdict":"agree"', '"verdict":"differ"') for line in lines]
    assert ShadowRecord.read(changed).differences() == [
        "judgement 2: recorded differ, now agree",
        "judgement 3: recorded differ, now agree",
    ]


@pytest.mark.parametrize(
    "lines", [[], ["{}"], ['{"format":"mlk8s canary evidence 1"}'], [record([], []).head(), "{}"]]
)
def test_another_file_is_told(lines: list[str]) -> None:
    with pytest.raises(UsageError):
        ShadowRecord.read(lines)


def test_outcomes_say_which_version_is_worse() -> None:
    rng = np.random.default_rng(3)
    truth = {f"id-{number}": int(rng.integers(3)) for number in range(2_000)}
    labels = list(truth.values())
    good = [label if rng.random() < 0.95 else 7 for label in labels]
    bad = [label if rng.random() < 0.85 else 8 for label in labels]
    outcomes = {**dict(list(truth.items())[:1_500]), "nobody": 1}
    worse = compare(record(answers(good), answers(bad)), outcomes, bound=0.1)
    assert (worse.worse, worse.known, worse.waiting, worse.unknown) == ("shadow", 1_500, 500, 1)
    assert (worse.slices[0].stable.verdict, worse.slices[0].shadow.verdict) == ("agree", "differ")
    assert "shadow is worse" in str(worse.slices[0])
    assert compare(record(answers(bad), answers(good)), outcomes).worse == "stable"
    assert compare(record(answers(good), answers(good)), outcomes).worse == "not told"


def test_two_versions_that_are_wrong_equally_often_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(4)
    told = 0
    for _ in range(100):
        labels = [1] * 600
        first, second = ([1 if rng.random() < 0.8 else 2 for _ in labels] for _ in range(2))
        outcomes = {f"id-{number}": 1 for number in range(600)}
        told += compare(record(answers(first), answers(second)), outcomes).worse != "not told"
    assert told <= 6, "alpha is 0.01 on each side"


@pytest.mark.parametrize(
    "text",
    [
        "request,outcome\na,1\nb,cat\nc,2.0\n",
        '{"request":"a","outcome":1}\n\n{"request":"b","outcome":"cat"}\n{"request":"c","outcome":2.0}\n',
        "outcome,when,request\n1,x,a\ncat,y,b\n2,z,c\n",
    ],
)
def test_outcomes_are_read_from_csv_and_json_lines(text: str) -> None:
    found = read_outcomes(text)
    assert found == {"a": 1, "b": "cat", "c": 2}
    stable = [Answer("a", "1", 1.0), Answer("b", json.dumps("cat"), 1.0), Answer("c", "2", 1.0)]
    assert compare(record(stable, stable), found).slices[0].stable.different == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line"),
        ("id,label\na,1\n", "first line"),
        ('{"request":"a"}\n', "line 1"),
        ('{"request":"a","outcome":1}\nx\n', "line 2"),
        ('{"request":"a","outcome":1}\n[1]\n', "line 2"),
    ],
)
def test_what_is_no_list_of_outcomes_is_told(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_outcomes(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bound": 0.0}, "bound"),
        ({"percent": 0}, "percent"),
        ({"deadline": 5.0}, "deadline"),
        ({"errors": "independent", "burst": 5}, "burst"),
        ({"slices": ("a", "a")}, "slices"),
        ({"slices": ("all",)}, "slices"),
        ({"slices": ("a,b",)}, "slices"),
        ({"round": -1}, "round"),
        ({"max_body": 10}, "max_body"),
    ],
)
def test_a_shadow_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        spec.Shadow(model="s3://models/iris/2", **change)
