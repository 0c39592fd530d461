from __future__ import annotations

import json
from pathlib import Path

from mlk8s.loadgen.samples import Samples


def test_the_first_answers_of_each_kind_are_kept_without_secrets(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    headers = [(b"Set-Cookie", b"session=abc"), (b"X-Model-Version", b"1")]
    for _ in range(5):
        samples.take("ok", 200, headers, b"x" * 5000)
    samples.take("http_5xx", 500, [], b"key sk-abcdefghijklmnopqrstuvwxyz0123456789")
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [(line["outcome"], line["status"]) for line in lines] == [("ok", 200)] * 3 + [("http_5xx", 500)]
    assert lines[0]["headers"] == [["Set-Cookie", "…"], ["X-Model-Version", "1"]]
    assert len(lines[0]["body"]) == 2048
    assert "abcdefghijklmnop" not in lines[3]["body"]


def test_a_full_disk_is_no_failure_of_the_test() -> None:
    Samples(Path("/dev/full")).take("ok", 200, [], b"")
