from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from mlk8s.loadgen.recorder import Recorder


def lines(file: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


def test_seconds_are_written_when_they_are_over(tmp_path: Path) -> None:
    file = tmp_path / "requests-1.jsonl"
    recorder = Recorder(file, "m infer", 100)
    recorder.open(("ok", 200, "1")).add(10_000_000)
    recorder.lag.add(300_000)
    recorder.end_second(users=4, sent=2, offered=10)
    load, request = lines(file)
    assert sum(load.pop("lag").values()) == 1
    assert load == {"t": 100, "kind": "load", "users": 4, "sent": 2, "offered": 10}
    assert (request["name"], request["outcome"], request["status"], request["version"]) == (
        "m infer",
        "ok",
        200,
        "1",
    )
    assert sum(request["hist"].values()) == request["count"] == 1

    recorder.open(("ok", 200, "2")).add(20_000_000)
    recorder.open(("http_5xx", 503, "2")).add(500_000_000)
    recorder.open(("http_5xx", 503, "2")).add(500_000_000)
    recorder.end_second(users=4, sent=3, dropped=5, offered=10)
    recorder.end_second(users=4, sent=0, dropped=0, offered=0)
    later = lines(file)[2:]
    assert [(line["t"], line["kind"]) for line in later] == [
        (101, "load"), (101, "requests"), (101, "requests"), (102, "load"),
    ]  # fmt: skip
    assert [(line["sent"], line["dropped"]) for line in later if line["kind"] == "load"] == [(3, 5), (0, 0)]
    assert {line["status"]: line["count"] for line in later if line["kind"] == "requests"} == {200: 1, 503: 2}


def test_a_full_disk_keeps_the_second_for_later(tmp_path: Path) -> None:
    recorder = Recorder(Path("/dev/full"), "m infer", 100)
    recorder.open(("ok", 200, "1")).add(10_000_000)
    with pytest.raises(OSError, match="space"):
        recorder.end_second(users=4)
    with pytest.raises(OSError, match="space"):
        recorder.flush()
    recorder._file._file = os.open(tmp_path / "later", os.O_WRONLY | os.O_CREAT)
    recorder.end_second(users=4)
    recorder.flush()
    kept = lines(tmp_path / "later")
    assert [(line["t"], line["kind"]) for line in kept] == [(100, "load"), (100, "requests"), (101, "load")]
