from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from runs import load, requests, sample, write

from mlk8s.errors import UsageError
from mlk8s.operations.run import Run
from mlk8s.spec.load import LoadProfile

PROFILE = LoadProfile.steps(rps=[10, 20], hold=5)


def part(
    directory: Path, latency: float, *, later: int = 0, profile: LoadProfile = PROFILE, **facts: object
) -> Run:
    lines = []
    for second in range(later, 10 + later):
        lines += [load(second), requests(second, [latency] * 10)]
    samples = [sample(second + 0.5, desired=1, ready=1) for second in range(10)]
    return Run.open(write(directory, lines, samples, profile, **facts))


def test_what_two_machines_sent_is_added_up(tmp_path: Path) -> None:
    one, other = part(tmp_path / "one", 0.010), part(tmp_path / "other", 0.030)
    merged = Run.merge(one, other, directory=tmp_path / "both")
    assert merged.summary.total.total == 200 and merged.summary.sent == 200
    assert [stage.rps for stage in merged.profile.stages] == [20, 40]
    rows = merged.timeline().to_pylist()
    assert [row["ok_rps"] for row in rows] == [20.0] * 10
    assert (rows[0]["users"], rows[0]["offered_rps"], rows[0]["replicas_ready"]) == (8, 20.0, 1)
    assert merged.summary.percentiles["p50"] == pytest.approx(0.010, rel=0.01)
    assert merged.summary.percentiles["p90"] == pytest.approx(0.030, rel=0.01)
    assert merged.partial is None and (tmp_path / "both" / "timeline.parquet").exists()
    assert Run.open(tmp_path / "both").summary.total.total == 200
    text = merged.report().read_text()
    assert str(tmp_path / "one") in text and str(tmp_path / "other") in text


def test_merging_is_addition_whatever_the_order(tmp_path: Path) -> None:
    parts = [part(tmp_path / name, latency) for name, latency in (("a", 0.01), ("b", 0.02), ("c", 0.03))]
    at_once = Run.merge(*parts, directory=tmp_path / "abc")
    first = Run.merge(parts[2], parts[1], directory=tmp_path / "cb")
    in_turn = Run.merge(first, parts[0], directory=tmp_path / "cba")
    assert at_once.summary.total == in_turn.summary.total
    assert at_once.profile == in_turn.profile


def test_a_part_that_was_cut_off_makes_the_whole_partial(tmp_path: Path) -> None:
    cut = part(tmp_path / "cut", 0.01, cut="interrupted by Ctrl-C")
    merged = Run.merge(part(tmp_path / "whole", 0.01), cut, directory=tmp_path / "both")
    assert merged.partial == "interrupted by Ctrl-C"


def test_what_is_not_one_load_is_refused(tmp_path: Path) -> None:
    one = part(tmp_path / "one", 0.01)
    with pytest.raises(UsageError, match="1 load tests are given"):
        Run.merge(one, directory=tmp_path / "x")
    with pytest.raises(UsageError, match="began 60 s apart"):
        Run.merge(one, part(tmp_path / "later", 0.01, later=60), directory=tmp_path / "x")
    longer = part(tmp_path / "longer", 0.01, profile=LoadProfile.steps(rps=[10, 20], hold=7))
    with pytest.raises(UsageError, match="different stages"):
        Run.merge(one, longer, directory=tmp_path / "x")
    target = orjson.loads((one.directory / "facts.json").read_bytes())["target"] | {"name": "digits"}
    with pytest.raises(UsageError, match="different targets"):
        Run.merge(one, part(tmp_path / "digits", 0.01, target=target), directory=tmp_path / "x")
    with pytest.raises(UsageError, match="the directory holds files"):
        Run.merge(one, part(tmp_path / "again", 0.01), directory=tmp_path / "one")
    assert not (tmp_path / "x").exists()


def test_together_they_may_be_more_than_each_may_be(tmp_path: Path) -> None:
    much = LoadProfile.steps(rps=[9_000, 9_000], hold=5)
    both = Run.merge(*(part(tmp_path / n, 0.01, profile=much) for n in ("m", "n")), directory=tmp_path / "x")
    assert [stage.rps for stage in both.profile.stages] == [18_000, 18_000]
