"""Every profile of LoadProfile from the command line, its ceilings, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import mlk8s, nowhere

from mlk8s.cli.load_shape import profile
from mlk8s.errors import SpecError, UsageError
from mlk8s.spec.load import LoadProfile

ROOT = Path(__file__).parents[2]


def asked(**given: Any) -> LoadProfile:
    names = ("steps", "ramp", "spike", "sinusoid", "users", "trace", "speed", "file", "hold")
    return profile(**dict.fromkeys(names) | given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"steps": "50"}, LoadProfile.constant(rps=50, hold=30)),
        ({"steps": "5,10", "hold": "2s", "seed": 3}, LoadProfile.steps(rps=[5, 10], hold=2, seed=3)),
        ({"ramp": "10,200", "hold": "3m"}, LoadProfile.ramp(start=10, end=200, over="3m")),
        (
            {"spike": "20, 200, 10s", "hold": "1m"},
            LoadProfile.spike(rps=20, peak=200, before="1m", width="10s", after="1m"),
        ),
        (
            {"sinusoid": "50,30,60s", "hold": "2m", "arrivals": "poisson"},
            LoadProfile.sinusoid(mean=50, amplitude=30, period=60, hold=120, arrivals="poisson"),
        ),
        ({"users": "4,8"}, LoadProfile.closed(users=[4, 8], hold=30)),
        (
            {"steps": "20000", "most_rps": 20_000.0},
            LoadProfile.constant(rps=20_000, hold=30, most_rps=20_000),
        ),
    ],
)
def test_options_are_profiles(given: dict[str, Any], expected: LoadProfile) -> None:
    assert asked(**given) == expected


@pytest.mark.parametrize(
    "text",
    [
        "stages: [{rps: 10, hold: 5s}]",
        "constant: {rps: 10, hold: 5s}",
        "steps: {rps: [10], hold: 5}",
        "{spike: {rps: 10, peak: 10, before: 1, width: 2s, after: 2s}}",
        "{replay: {times: [0, 1.5, 4.5]}}",
        "{closed: {users: 3, hold: 5s}, timeout: 2s}",
        "{ramp: {start: 1, end: 9, over: 4s}, arrivals: poisson}",
        "{sinusoid: {mean: 5, amplitude: 4, period: 5s, hold: 5s}}",
    ],
)
def test_a_file_has_any_shape(text: str, tmp_path: Path) -> None:
    file = tmp_path / "load.yaml"
    file.write_text(text)
    assert asked(file=file, warmup="1s").duration == pytest.approx(5, abs=0.01)
    assert asked(file=file, warmup="1s").warmup == 1


@pytest.mark.parametrize("name", ["ramp", "steps", "users"])
def test_the_files_that_are_there_to_copy_are_read(name: str) -> None:
    assert asked(file=ROOT / "loadtests" / f"{name}.yaml").timeout == 10


@pytest.mark.parametrize(
    "text", ["3.5\n# a comment\n\n4\n5.25\n", "2026-11-28T13:00:03.5Z\n2026-11-28T14:00:04+01:00\n"
             "2026-11-28T13:00:05.250Z\n"]
)  # fmt: skip
def test_a_trace_begins_at_0(text: str, tmp_path: Path) -> None:
    file = tmp_path / "times.txt"
    file.write_text(text)
    assert asked(trace=file).trace == pytest.approx((0.0, 0.5, 1.75))
    assert asked(trace=file, speed=2.0).trace == pytest.approx((0.0, 0.25, 0.875))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "no load is given"),
        ({"steps": "5", "users": "4"}, "--steps and --users are given"),
        ({"steps": "5,x"}, "is not a list of numbers"),
        ({"users": "2.5"}, "not whole numbers"),
        ({"ramp": "5"}, "FROM,TO, such as --ramp 10,200"),
        ({"spike": "5,a,10s"}, "RPS,PEAK,WIDTH"),
        ({"steps": "5", "speed": 2.0}, "--speed belongs to --trace"),
    ],
)
def test_what_cannot_be_asked_for(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        asked(**given)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a load profile"),
        ("- 1", "not a load profile"),
        ("a: [", "not YAML"),
        ("timeout: 10s", "has no load"),
        ("{stages: [], constant: {}}", "has constant and stages"),
        ("constant: 5", "expected: fields"),
        ("constant: {rps: 5}", "fields of it: rps, hold"),
        ("{constant: {rps: 5, hold: 5}, tiemout: 1}", "did you mean 'timeout'"),
    ],
)
def test_a_file_that_is_no_profile(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "load.yaml"
    file.write_text(text)
    with pytest.raises((UsageError, SpecError)) as refused:
        asked(file=file)
    assert words in str(refused.value)
    with pytest.raises(UsageError, match="--hold and --profile"):
        asked(file=file, hold="5s")


@pytest.mark.parametrize(
    ("text", "words"), [("", "no time in it"), ("1\nnow\n", "line 2"), ("-1", "no time")]
)
def test_a_trace_that_is_none(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "times.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        asked(trace=file)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"steps": "10001"}, "--most-rps 10001"),
        ({"users": "1001"}, "--most-users 1001"),
        ({"steps": "1,1", "hold": "31m"}, "--most-duration 3720"),
    ],
)
def test_a_ceiling_names_itself_and_how_to_raise_it(given: dict[str, Any], option: str) -> None:
    with pytest.raises(SpecError) as refused:
        asked(**given)
    assert "above the ceiling" in str(refused.value) and option in str(refused.value)


def test_the_command_says_so_before_it_looks_for_a_cluster(tmp_path: Path) -> None:
    done = mlk8s("loadtest", "iris", "--data", "[[1]]", "--steps", "20000", env=nowhere(tmp_path))
    assert done.returncode == 2
    assert "20,000 requests/s are above the ceiling of 10,000" in done.stderr
