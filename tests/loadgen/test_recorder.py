from __future__ import annotations

from pathlib import Path

import orjson

from mlk8s.loadgen.recorder import Recorder


def write(recorder: Recorder, end: int, dropped: int = 0) -> None:
    recorder.write_until(end, users=4, offered=lambda second: 10.0 * (second - 99), dropped=dropped)


def test_seconds_are_written_when_they_are_over(tmp_path: Path) -> None:
    file = tmp_path / "requests-1.jsonl"
    recorder = Recorder(file, "m infer")
    recorder.begin(100)
    for moment in (100.1, 100.2, 101.3):
        recorder.sent(moment)
    recorder.record(100.3, 0.010, "ok", 200, "1")
    recorder.record(101.1, 0.020, "ok", 200, "2")
    recorder.record(101.9, 0.500, "http_5xx", 503, "2")
    write(recorder, 101)
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert lines[0] == {
        "t": 100, "kind": "load", "users": 4, "offered": 10.0, "sent": 2, "dropped": 0, "in_flight": 0,
    }  # fmt: skip
    assert lines[1]["version"] == "1"
    assert sum(lines[1]["hist"].values()) == lines[1]["count"] == 1
    assert len(lines) == 2
    write(recorder, 103, dropped=5)
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()][2:]
    assert [(line["t"], line["kind"]) for line in lines] == [
        (101, "load"), (101, "requests"), (101, "requests"), (102, "load"),
    ]  # fmt: skip
    assert [line["dropped"] for line in lines if line["kind"] == "load"] == [5, 0]
    assert {line["outcome"]: line["status"] for line in lines if line["kind"] == "requests"} == {
        "ok": 200, "http_5xx": 503,
    }  # fmt: skip


def test_a_full_disk_keeps_the_second_for_later(tmp_path: Path) -> None:
    full = Path("/dev/full")
    recorder = Recorder(full, "m infer")
    recorder.begin(100)
    recorder.sent(100.0)
    recorder.record(100.1, 0.01, "ok", 200, "1")
    try:
        write(recorder, 101)
    except OSError:
        pass
    else:
        raise AssertionError("a write to a full disk went through")
    import os

    recorder._file = os.open(tmp_path / "later", os.O_WRONLY | os.O_CREAT)
    write(recorder, 102)
    lines = [orjson.loads(line) for line in (tmp_path / "later").read_bytes().splitlines()]
    assert [(line["t"], line["kind"]) for line in lines] == [(100, "load"), (100, "requests"), (101, "load")]
