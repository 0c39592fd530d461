from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import load, requests, write

from mlk8s.errors import UsageError
from mlk8s.operations.run import Run
from mlk8s.report.curve import knee
from mlk8s.report.heat import heat
from mlk8s.spec.load import LoadProfile


def test_the_knee_is_where_latency_leaves_its_level() -> None:
    rates = [10.0, 20.0, 30.0, 40.0, 45.0, 48.0]
    # One server that needs 20 ms: the mean of M/M/1
    latency = [0.02 / (1 - rate * 0.02) for rate in rates]
    assert knee(rates, latency) == 3
    assert knee(rates, [0.01 * rate for rate in rates]) is None, "a straight line has none"
    assert knee([1.0, 2.0], [1.0, 9.0]) is None
    assert knee([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


def staircase(folder: Path, latencies: list[float]) -> Run:
    lines = []
    for step, latency in enumerate(latencies):
        for second in range(10 * step, 10 * step + 10):
            lines += [load(second), requests(second, [latency] * 10 * (step + 1))]
    profile = LoadProfile.steps(rps=[10 * (step + 1) for step in range(len(latencies))], hold=10)
    return Run.open(write(folder, lines, [], profile))


def test_the_curve_has_a_point_a_stage(tmp_path: Path) -> None:
    run = staircase(tmp_path / "run", [0.01, 0.011, 0.012, 0.2])
    assert "The knee is at 30/s with 12 ms" in run.curve().alt
    assert run.report().read_text().count("Latency against throughput") == 1
    with pytest.raises(UsageError, match="2 stages had right answers"):
        staircase(tmp_path / "short", [0.01, 0.02]).curve()


def test_the_map_has_every_answer_at_its_second_and_latency(tmp_path: Path) -> None:
    run = staircase(tmp_path / "run", [0.01, 0.1])
    found = heat(run.results)
    assert found is not None
    assert found.shares.shape[1] == 20
    np.testing.assert_allclose(np.nansum(found.shares, axis=0), 1.0)
    rows = np.nanargmax(found.shares, axis=0)
    for second, latency in ((0, 0.01), (19, 0.1)):
        assert (
            found.latency[rows[second]] <= latency * 1.01
            and latency * 0.99 <= found.latency[rows[second] + 1]
        )


def test_a_run_without_answers_has_no_map(tmp_path: Path) -> None:
    lines = [load(0), requests(0, [0.001] * 10, "connection", 0)]
    assert (
        heat(Run.open(write(tmp_path / "run", lines, [], LoadProfile.constant(rps=10, hold=1))).results)
        is None
    )
