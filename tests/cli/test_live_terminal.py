"""The live table of a load test, on a terminal that is one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal

from mlk8s.cli.live import bars
from mlk8s.operations.run import Run

TESTS = Path(__file__).parents[1]
PROGRAM = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mlk8s.cli.live import view
from mlk8s.spec.load import LoadProfile
from local_load import load
print("view", view(True), view(False))
load(sys.argv[2], Path(sys.argv[3]), LoadProfile.constant(rps=50, hold="5m"), view(True))
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, str(TESTS / "loadgen" / "v2server.py")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.terminate()
    server.wait()
    server.stdout.close()


@pytest.mark.timeout(180)
def test_it_shows_the_numbers_and_ctrl_c_ends_it_in_order(url: str, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    terminal = Terminal(sys.executable, "-c", PROGRAM, str(TESTS / "operations"), url, str(directory))
    terminal.until("view <class .*TerminalView.> False")
    terminal.until(r"sending; Ctrl-C stops it · \d")
    terminal.until(r"50\b.*5\d\b(.|\n)*requests/s(.|\n)*achieved [▁-█]{3}")
    for word in ("offered", "p50", "p95", "p99", "errors", "replicas"):
        assert word in terminal.text
    os.write(terminal.master, b"\x03")
    terminal.until("KeyboardInterrupt|stopping")
    terminal.until(re.escape("\x1b[?25h"))  # the cursor is back
    terminal.process.wait(60)
    os.close(terminal.master)
    run = Run.open(directory)
    assert run.partial == "interrupted by Ctrl-C"
    assert run.summary.unanswered == 0 and run.summary.total.ok > 50


def test_bars_go_from_nothing_to_the_highest() -> None:
    assert bars([0, 1, 2, 4]) == "▁▃▅█"
    assert bars([None, 5.0, None]) == " █ "
    assert bars([]) == ""
