"""A rollout without a cluster: recorded counts and the real judge drive a view, which answers its wishes."""

from __future__ import annotations

import time
from pathlib import Path

import mlk8s
from mlk8s.assess.evidence import Block, Counts, Decision, Judge, Record
from mlk8s.assess.rollout_words import Progress
from mlk8s.operations.live import choose_canary
from mlk8s.operations.rollout_view import CanaryResult

MODEL = "s3://models/iris/2"
LEFT = "the canary of iris keeps weight 20 % and nobody watches it"
ANALYSIS = mlk8s.Analysis(slo=mlk8s.Slo(errors=0.01, p99="100ms"), deadline="10h")


def blocks(count: int, weight: int = 20) -> list[Block]:
    """Return blocks in which both versions are near the bound, so that nothing is decided for long."""
    found = []
    for number in range(count):
        counts = Counts(30, int(number % 7 == 0), {"p99": int(number % 5 == 0)})
        stable = Counts(120, 1, {"p99": 1})
        found.append(Block(10.0 * number, 10.0, weight, counts, stable, missing=number % 10 == 9))
    return found


def play(
    directory: Path, *, count: int = 2000, pause: float = 0.2, before: int = 0, live: bool | None = None
) -> CanaryResult:
    """Show a block each `pause` seconds until there are none, or somebody ends it; the first ones not."""
    judge, began = Judge(ANALYSIS), time.monotonic()
    state, lines = judge.start(0.0), [Record.head(ANALYSIS, 0.0)]
    entries: list[tuple[Block, Decision]] = []
    view, say = choose_canary(live, "iris", print, lambda: LEFT, lambda: tuple(entries[:before]))
    result, outcome, held = None, "inconclusive", None
    try:
        say("iris: weight 20")
        for block in blocks(count):
            state = judge.step(state, block)
            decision = judge.decide(state)
            lines.append(Record.line(block, decision))
            entries.append((block, decision))
            if len(entries) <= before:
                continue
            view.show(Progress("iris", MODEL, block.weight, block, decision, held))
            end, wish = time.monotonic() + pause, None
            while wish is None and time.monotonic() < end:
                wish = view.wish()
                time.sleep(0.02)
            if wish in ("hold", "resume"):
                held = "somebody asked for it" if wish == "hold" else None
                say(f"iris: asked: {wish}")
            elif wish is not None:
                outcome = "promoted" if wish == "promote" else "rolled back"
                break
        directory.mkdir()
        (directory / "evidence.jsonl").write_text("".join(lines))
        result = CanaryResult(
            "iris", MODEL, outcome, ("somebody asked for it",), decision, directory,
            time.monotonic() - began, 0, None,
        )  # fmt: skip
    finally:
        view.end(result)
    return result
