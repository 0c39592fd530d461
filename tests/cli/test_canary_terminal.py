"""A rollout on a terminal that is one, and in plain lines elsewhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from terminal import Terminal

import mlk8s
from mlk8s.assess.evidence import Block, Counts, Judge
from mlk8s.assess.rollout_words import Progress
from mlk8s.cli.canary_view import gauge, table

TESTS = Path(__file__).parents[1]
PROGRAM = """
import sys, time; sys.path.insert(0, sys.argv[1])
from canary_script import ANALYSIS, MODEL, blocks
from mlk8s.assess.evidence import Judge
from mlk8s.assess.rollout_words import Progress
from mlk8s.cli.canary_view import open_view
from mlk8s.cli.interrupt import leaves
from mlk8s.cli.output import say
judge = Judge(ANALYSIS); state = judge.start(0.0)
view = open_view(say)
try:
    with leaves(lambda: "the canary of iris keeps weight 20 %"):
        try:
            for number, block in enumerate(blocks(int(sys.argv[2]))):
                state = judge.step(state, block)
                view.show(Progress("iris", MODEL, 20, block, judge.decide(state)))
                say(f"iris: line {number}")
                time.sleep(0.1)
        finally:
            view.end(None)
except KeyboardInterrupt as error:
    say(str(error))
"""


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.timeout(120)
def test_terminal_shows_weight_requests_evidence_and_ctrl_c_says_what_is_left(width: int) -> None:
    terminal = Terminal(sys.executable, "-c", PROGRAM, str(TESTS / "operations"), "1000", width=width)
    terminal.until("weight 20 % · .* requests · ")
    terminal.until("requests to go")
    terminal.until("within the SLO.*promotes")
    terminal.until("line 3")
    os.write(terminal.master, b"\x03")
    terminal.until("interrupted: the canary of iris keeps weight 20 %")
    terminal.process.wait(60)
    os.close(terminal.master)
    assert "\x1b[?25h" in terminal.text, "the cursor is back"


def test_elsewhere_there_is_a_line_a_block() -> None:
    command = [sys.executable, "-c", PROGRAM, str(TESTS / "operations"), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    lines = [line for line in done.stderr.splitlines() if " · weight 20 % · " in line]
    assert len(lines) == 3
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("width", [80, 120])
def test_table_is_whole_at_any_usual_width(width: int) -> None:
    judge = Judge(mlk8s.Analysis(slo=mlk8s.Slo(errors=0.01, p99="100ms")))
    state, blocks = judge.start(0.0), []
    for number in range(60):
        counts = Counts(29_000, 101, {"p99": 19})
        blocks.append(Block(10.0 * number, 10.0, 50, counts, counts, missing=number == 5))
        state = judge.step(state, blocks[-1])
    decision = judge.decide(state)
    out = io.StringIO()
    held = "the weight was set from 5 to 50 by kubectl-annotate"
    shown = table(Progress("iris", "s3://models/iris/2", 50, blocks[-1], decision, held), blocks[-50:])
    Console(file=out, width=width).print(shown)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line], "nothing is cut off"
    (row,) = [line for line in lines if line.startswith("failed requests  ")]
    assert "5,959 of 1,711,000" in row and row.rstrip().endswith("1 %")
    assert "would be promoted" in out.getvalue() and f"held: {held}" in out.getvalue().replace("\n", " ")


def test_gauge_is_full_at_the_line() -> None:
    assert gauge(1.0) == gauge(7.0) == "━" * 12
    assert gauge(-0.3) == "╌" * 12
    assert gauge(0.5, ascii_only=True) == "######......"
