from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from mlk8s.report.shares import lost_shares, part_words

START = 1_800_000_000
DONE = {"ended": float(START + 20)}


def write(directory: Path, worker: int, seconds: int, begin: int = 0, cut: bool = False) -> None:
    lines = [
        orjson.dumps({"t": START + second, "kind": kind, "hist": {"1": 2}}) + b"\n"
        for second in range(begin, seconds)
        for kind in ("load", "requests")
    ]
    data = b"".join(lines)
    (directory / f"requests-m-load-ab12cd-{worker - 1}-17.jsonl").write_bytes(data[:-5] if cut else data)


def test_a_worker_that_ends_before_the_others_is_told(tmp_path: Path) -> None:
    write(tmp_path, 1, 11)
    write(tmp_path, 2, 4)
    write(tmp_path, 3, 11)
    facts = {"workers": {"count": 3, "lost": {"2": "its pod was deleted"}}, **DONE}
    (lost,) = lost_shares(tmp_path, facts, 10.0)
    assert (lost.worker, lost.of, lost.at) == (2, 3, START + 4)
    assert str(lost) == (
        "worker 2 of 3 died at 08:00:04 UTC (its pod was deleted): "
        "a third of the load is missing from then on"
    )


def test_a_worker_without_results_is_told(tmp_path: Path) -> None:
    write(tmp_path, 1, 11)
    (lost,) = lost_shares(tmp_path, {"workers": {"count": 2}, **DONE}, 10.0)
    assert str(lost) == "worker 2 of 2 sent nothing: half of the load is missing"


@pytest.mark.parametrize("seconds", [(11, 10), (5, 6), (12, 11)])
def test_workers_that_end_together_have_lost_nothing(tmp_path: Path, seconds: tuple[int, int]) -> None:
    """At the profile's end, or when the whole test is cut short; an answer may come later than others."""
    for worker, length in enumerate(seconds, 1):
        write(tmp_path, worker, length)
    assert lost_shares(tmp_path, {"workers": {"count": 2}, **DONE}, 10.0) == []


def test_a_line_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, 1, 11)
    write(tmp_path, 2, 5, cut=True)
    (lost,) = lost_shares(tmp_path, {"workers": {"count": 2}, **DONE}, 10.0)
    assert lost.at == START + 5


def test_while_a_test_runs_results_may_be_late(tmp_path: Path) -> None:
    write(tmp_path, 1, 9)
    write(tmp_path, 2, 6)
    assert lost_shares(tmp_path, {"workers": {"count": 2}}, 60.0) == []
    write(tmp_path, 1, 20)
    assert len(lost_shares(tmp_path, {"workers": {"count": 2}}, 60.0)) == 1


def test_processes_of_one_machine_have_no_numbers(tmp_path: Path) -> None:
    write(tmp_path, 1, 11)
    assert lost_shares(tmp_path, DONE, 10.0) == []


def test_parts_have_words() -> None:
    assert [part_words(1, of) for of in (1, 2, 3, 4, 7)] == ["all", "half", "a third", "a quarter", "1/7"]
