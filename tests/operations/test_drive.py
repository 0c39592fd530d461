"""The loop of a load test with the real load generator and a server of this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_load import load

from mlk8s.spec.load import LoadProfile

SERVER = Path(__file__).parents[1] / "loadgen" / "v2server.py"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.terminate()
    server.wait()
    server.stdout.close()


@pytest.mark.timeout(120)
def test_a_test_whose_requests_fail_ends_itself_and_says_why(url: str, tmp_path: Path) -> None:
    profile = LoadProfile.constant(rps=60, hold="5m", stop_above=0.2)
    run = load(url, tmp_path / "run", profile, live=False, behaviour="error")
    assert run.partial is not None and "failed; the bound is 0.2" in run.partial
    assert set(run.summary.total.outcomes) == {"http_5xx"} and run.summary.total.total < 60 * 60
    for words in (repr(run), run.report().read_text()):
        assert "PARTIAL RESULTS" in words and "the bound is 0.2" in words
