"""Make targets that no other test runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_lab_serves_the_notebooks_also_to_root(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", "lab", "LAB_OPTIONS=--no-browser --port=0"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 60
        while "/lab?token=" not in log.read_text() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        assert "/lab?token=" in log.read_text(), log.read_text()[-1000:]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
