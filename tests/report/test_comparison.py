from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import load, requests, write

from mlk8s.assess.compare import band
from mlk8s.operations.run import Run
from mlk8s.report.comparison import RunComparison
from mlk8s.spec.load import LoadProfile


def noisy(directory: Path, latency: float, *, seed: int, failed: int = 0) -> Run:
    """Forty seconds of 50 requests; each second is slower or faster as a whole, too."""
    random = np.random.default_rng(seed)
    lines = []
    for second in range(40):
        middle = latency * np.exp(0.1 * random.standard_normal())
        took = middle * np.exp(0.4 * random.standard_normal(50))
        lines += [load(second), requests(second, took.tolist())]
        lines += [requests(second, [0.001] * failed, "http_5xx", 503)] if failed else []
    return Run.open(write(directory, lines, [], LoadProfile.constant(rps=10, hold=40)))


@pytest.fixture
def found(tmp_path: Path) -> RunComparison:
    before = noisy(tmp_path / "before", 0.020, seed=1)
    return noisy(tmp_path / "after", 0.032, seed=2, failed=3).compare(before)


def test_two_runs_are_drawn_with_bands_and_what_is_allowed(found: RunComparison) -> None:
    picture = found.plot()
    above, latency, errors = picture.figure.axes
    assert [text.get_text() for text in above.get_legend().get_texts()] == [
        "baseline, 99 % band", "baseline", "run, 99 % band", "run"
    ]  # fmt: skip
    assert latency.get_yticklabels()[0].get_text() == "p50: worse"
    assert [label.get_text() for label in errors.get_yticklabels()] == ["errors: worse"]
    assert picture.alt.startswith("Percentile curves of two runs") and "p50: 19.8 ms → 30.3 ms" in picture.alt


def test_a_band_holds_its_curve_and_is_wider_where_there_is_less(found: RunComparison) -> None:
    made = band(found.run.blocks)
    assert (made.low <= made.latency).all() and (made.latency <= made.high).all()
    width = np.log(made.high / made.low)
    assert width[-1] > width[0], "p99.9 of 2,000 requests is less certain than their median"
    assert np.all(np.diff(made.latency) >= 0)


def test_the_report_of_a_comparison_is_one_file(found: RunComparison, tmp_path: Path) -> None:
    text = found.report(tmp_path / "compared.html").read_text()
    for words in (
        "Verdict: broken", "Percentile curves of two runs", "mlk8s compare", "v1.35.4", "x86_64, 2 CPUs",
    ):  # fmt: skip
        assert words in text
    assert len(text) < 500_000 and "http://www" not in text.split("<svg")[0]


def test_the_command_writes_the_report(found: RunComparison, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlk8s", "compare", str(tmp_path / "before"), str(tmp_path / "after")]
    done = subprocess.run([*command, "--report", str(tmp_path / "c.html")], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Verdict: broken" in (tmp_path / "c.html").read_text()


def test_a_run_without_answers_is_told_in_words(tmp_path: Path) -> None:
    lines = [line for second in range(40) for line in (load(second), requests(second, [0.1], "timeout", 0))]
    dead = Run.open(write(tmp_path / "dead", lines, [], LoadProfile.constant(rps=10, hold=40)))
    made = dead.compare(noisy(tmp_path / "before", 0.02, seed=1))
    assert made.worse and "without any right answer" in made.report(tmp_path / "c.html").read_text()
    assert set(made._repr_mimebundle_()) == {"text/plain"}
