from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from mlk8s.loadgen.pod import Lines


def test_only_whole_lines_are_told_and_each_once(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "requests-a-1.jsonl"
    lines = Lines(tmp_path)
    lines.tell()
    file.write_bytes(b'{"t":1}\n{"t":2')
    lines.tell()
    with file.open("ab") as more:
        more.write(b"}\n")
    (tmp_path / "samples-a-1.jsonl").write_bytes(b'{"t":9}\n')
    (tmp_path / "locust.log").write_bytes(b"words\n")
    lines.tell()
    lines.tell()
    told = [orjson.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert told == [
        {"file": "requests-a-1.jsonl", "line": {"t": 1}},
        {"file": "requests-a-1.jsonl", "line": {"t": 2}},
        {"file": "samples-a-1.jsonl", "line": {"t": 9}},
    ]
