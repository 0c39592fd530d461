from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from runs import START, load, requests, sample, scaling_run

from mlk8s.operations.run import Run
from mlk8s.report.results import Results
from mlk8s.report.timeline import COLUMNS, build, save, start_of


def results(*lines: dict[str, object]) -> Results:
    made = Results()
    for line in lines:
        made.take(line)
    return made


def test_a_row_a_second_and_none_missing() -> None:
    table = build(results(load(0), requests(0, [0.01] * 10), load(3), requests(3, [0.01] * 8)), [])
    assert table.column_names == list(COLUMNS)
    rows = table.to_pylist()
    assert [row["t"] for row in rows] == [0, 1, 2, 3]
    assert [row["ok_rps"] for row in rows] == [10.0, None, None, 8.0]
    assert start_of(table) == "2026-11-23T21:10:00Z"


def test_percentiles_are_those_of_right_answers_only() -> None:
    table = build(results(load(0), requests(0, [0.2] * 10), requests(0, [0.001] * 90, "http_5xx", 503)), [])
    (row,) = table.to_pylist()
    assert row["p50"] == pytest.approx(0.2, rel=0.01)
    assert row["error_rate"] == pytest.approx(0.9)


def test_a_second_without_answers_has_no_latency() -> None:
    (row,) = build(results(load(0)), []).to_pylist()
    assert row["p99"] is None and row["error_rate"] is None
    assert row["ok_rps"] == 0.0


def test_samples_are_held_for_two_seconds_and_longer_gaps_are_shown() -> None:
    lines = [load(second) for second in range(8)]
    samples = [sample(0.5, desired=2, ready=1), sample(6.5, desired=3, ready=3, metric=None)]
    rows = build(results(*lines), samples).to_pylist()
    assert [row["replicas_ready"] for row in rows] == [1, 1, 1, None, None, None, 3, 3]
    assert [row["replicas_desired"] for row in rows] == [2, 2, 2, None, None, None, 3, 3]
    assert rows[6]["metric"] is None and rows[6]["metric_target"] == 2.0


def test_a_sample_just_before_the_load_stands_for_its_first_second() -> None:
    rows = build(
        results(load(0), load(1)), [sample(-0.5, desired=1, ready=1), sample(1.4, desired=1, ready=1)]
    )
    assert rows.column("replicas_ready").to_pylist() == [1, 1]


def test_without_any_load_there_are_still_replicas() -> None:
    rows = build(Results(), [sample(0.5, desired=1, ready=1), sample(1.5, desired=2, ready=1)]).to_pylist()
    assert [(row["t"], row["replicas_desired"], row["ok_rps"]) for row in rows] == [
        (0, 1, None),
        (1, 2, None),
    ]


def test_nothing_at_all_is_an_empty_table() -> None:
    assert build(Results(), []).num_rows == 0


def test_what_prometheus_saw() -> None:
    seen = {
        "t": START + 0.5,
        "server": {"in_flight": 3.0, "by_pod": {"a": 3.0}, "rps": 9.0, "error_rate": None},
    }
    (row,) = build(results(load(0)), [seen]).to_pylist()
    assert (row["in_flight"], row["server_rps"], row["server_error_rate"]) == (3.0, 9.0, None)


def test_two_generators_are_added_up() -> None:
    made = results(load(0, users=4), load(0, users=6, sent=5), requests(0, [0.1]), requests(0, [0.3]))
    (row,) = build(made, []).to_pylist()
    assert (row["users"], row["sent_rps"], row["offered_rps"], row["ok_rps"]) == (10, 15.0, 20.0, 2.0)


def test_parquet_and_json_hold_the_same(tmp_path: Path) -> None:
    run = Run.open(scaling_run(tmp_path / "run"))
    parquet, json = save(run.timeline(), run.events(), tmp_path)
    table = pq.read_table(parquet)
    assert table.to_pydict() == run.timeline().to_pydict()
    assert start_of(table) == "2026-11-23T21:10:00Z"
    assert table.schema.field("p99").metadata[b"unit"] == b"seconds, of right answers"
    body = orjson.loads(json.read_bytes())
    assert body["columns"] == table.to_pydict()
    assert body["start"] == "2026-11-23T21:10:00Z"
    assert set(body["units"]) == set(COLUMNS)
    assert body["events"] == run.events().to_pylist()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    directory = scaling_run(tmp_path / "run")
    file = directory / "requests-7.jsonl"
    file.write_bytes(file.read_bytes() + b'{"t": 1795468220, "kind": "requ')
    assert Run.open(directory).summary.total.total == 305
