"""An open loop sees what a closed one cannot: a server that does nothing for a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from math import ceil
from pathlib import Path

import pytest

from mlk8s.loadgen.settings import VARIABLE, Settings
from mlk8s.report.results import Results

ROOT = Path(__file__).parents[2]


def test_every_request_that_a_stall_held_up_has_it_in_its_latency(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "loadgen_server.py"), "--stall-at", "2", "--stall", "1"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    port = int(server.stdout.readline())
    (tmp_path / "body.json").write_bytes(json.dumps({"inputs": [{"name": "x", "shape": [2, 1]}]}).encode())
    settings = Settings(
        url=f"http://127.0.0.1:{port}", path="/v2/models/m/infer", name="m", body="body.json",
        stages=[{"hold": 5, "rps": 100}], timeout=10.0, connections=8, allowed=[], parent=0,
        directory=tmp_path,
    )  # fmt: skip
    try:
        engine = subprocess.Popen(
            [sys.executable, "-m", "mlk8s.loadgen"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, VARIABLE: str(settings.write())},
        )  # fmt: skip
        assert engine.stdout is not None
        engine.stdout.readline()
        engine.communicate(f"{ceil(time.time() + 0.2)}\n", timeout=240)
        assert engine.returncode == 0
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    total = Results.read(tmp_path).between(0, 1e12)
    assert total.outcomes == {"ok": 500}
    # 100 requests were due during the second: the one due first waited a whole one, the last hardly at all.
    # With eight connections a generator that waits for answers would have seen eight of them.
    held = sorted(second for second in _latencies(total.histogram) if second > 0.095)
    assert len(held) >= 90
    assert held[-1] == pytest.approx(1.0, rel=0.5) and held[-1] >= 0.99
    assert sum(held[-90:]) / 90 >= 0.5


def _latencies(histogram: dict[int, int]) -> list[float]:
    from mlk8s.loadgen.histogram import value_of

    return [value_of(bucket) for bucket, count in histogram.items() for _ in range(count)]
