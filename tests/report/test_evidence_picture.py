"""The picture of a rollout: its words say what it shows, and it is drawn without a warning."""

from __future__ import annotations

import pytest

from mlk8s.assess.evidence import Block, Counts, Judge, Record
from mlk8s.errors import UsageError
from mlk8s.report.evidence import draw_evidence
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.load import Slo


def record(errors: int, blocks: int, *, missing: int | None = None) -> Record:
    analysis = Analysis(slo=Slo(errors=0.01, p99="100ms"))
    judge = Judge(analysis)
    state, lines = judge.start(0.0), [Record.head(analysis, 0.0)]
    for number in range(blocks):
        counts = Counts(100, errors, {"p99": 0})
        one = Block(10.0 * number, 10.0, 50, counts, Counts(100, 0, {"p99": 0}), missing=number == missing)
        state = judge.step(state, one)
        lines.append(Record.line(one, judge.decide(state)))
    return Record.read(lines)


def test_a_promotion_is_told_in_words() -> None:
    picture = draw_evidence(record(0, 30, missing=3), title="iris")
    assert picture.alt.startswith(
        "A canary over 5.0 minutes and 30 blocks, 1 of them without data: 2,900 requests, verdict promote. "
        "Failed requests: 0 %, between 0 % and 0."
    )
    assert "The evidence for within the SLO reached its line." in picture.alt
    assert picture.png().startswith(b"\x89PNG")
    assert picture.figure.get_suptitle() == "iris: promote"


def test_what_is_open_is_told_with_what_it_takes() -> None:
    alt = draw_evidence(record(0, 2)).alt
    assert "No claim reached its line; nearest is within the SLO, " in alt and "requests to go." in alt


def test_without_a_block_there_is_nothing_to_draw() -> None:
    with pytest.raises(UsageError, match="no block yet"):
        draw_evidence(record(0, 0))
