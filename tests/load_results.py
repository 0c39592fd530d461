"""What a load test has written so far, for tests that act in the middle of it."""

from __future__ import annotations

from pathlib import Path

from mlk8s.loadgen.tail import read_lines


def answered(directory: Path) -> int:
    """Return how many right answers are in the files of a run."""
    lines = (line for file in directory.glob("requests-*.jsonl") for line in read_lines(file))
    return sum(line["count"] for line in lines if line["kind"] == "requests" and line["outcome"] == "ok")
