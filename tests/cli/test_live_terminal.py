"""The live table of a load test, on a terminal that is one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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


class Terminal:
    """A process on a terminal of its own, and everything that it wrote there."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C comes from it
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def until(self, pattern: str, seconds: float = 90.0) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text) and time.monotonic() < end:
            if not select.select([self.master], [], [], 1.0)[0]:
                continue
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                break
        assert re.search(pattern, self.text), self.text[-3000:]


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
