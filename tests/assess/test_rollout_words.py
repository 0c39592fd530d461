"""What a rollout says of itself: a line a block, the lines of its status, its metrics."""

from __future__ import annotations

from typing import Any

import mlk8s
from mlk8s.assess.evidence import Block, Counts, Judge
from mlk8s.assess.rollout_metrics import page
from mlk8s.assess.rollout_words import Progress, status_lines

ANALYSIS = mlk8s.Analysis(slo=mlk8s.Slo(errors=0.05), block=10, min_weight=20)


def judged(*blocks: Block) -> Any:
    judge = Judge(ANALYSIS)
    state = judge.start(0.0)
    for block in blocks:
        state = judge.step(state, block)
    return judge.decide(state)


GOOD = Block(0.0, 10.0, 20, Counts(40, 0), Counts(160, 0))


def test_line_of_a_block_has_weight_requests_interval_and_what_is_to_go() -> None:
    line = str(Progress("iris", "s3://m/2", 20, GOOD, judged(GOOD)))
    assert line.startswith("iris: 10 s · weight 20 % · 40 requests, 40 in all · errors 0 % to ")
    assert "(at most 5 %)" in line
    assert "waiting, about " in line and line.endswith("requests to go")


def test_line_says_what_was_not_seen_and_why_nothing_changes() -> None:
    gap = Block(0.0, 10.0, 20, missing=True)
    line = str(Progress("iris", "s3://m/2", 20, gap, judged(gap), held="somebody asked", blind="503"))
    assert "nothing seen (503)" in line
    assert "no request was counted yet" in line
    named = Block(0.0, 10.0, 20, missing=True, cause="pod-1: REQUESTS is NaN")
    progress = Progress("iris", "s3://m/2", 20, named, judged(named))
    assert "nothing seen (pod-1: REQUESTS is NaN)" in str(progress)
    assert progress.states()[0] == "nothing was seen in the last block: pod-1: REQUESTS is NaN"
    assert any("last block: pod-1: REQUESTS is NaN" in reason for reason in progress.decision.reasons)
    idle = Block(0.0, 10.0, 20)
    assert "the canary has had no requests" in str(Progress("iris", "s3://m/2", 20, idle, judged(idle)))
    assert line.endswith("held: somebody asked")


def test_status_says_that_nobody_works_on_it() -> None:
    rollout = {
        "stage": "analysing", "model": "s3://m/2", "updated": "2026-01-01T00:00:00Z", "outcome": None,
        "why": (), "held": None, "decision": judged(GOOD).to_dict(),
    }  # fmt: skip
    lines = status_lines(rollout, None)
    assert "nobody works on it since 2026-01-01T00:00:00Z; `resume` goes on" in lines[0]
    assert any("0 of 40" in line for line in lines)
    assert "by me" in status_lines(rollout, "me")[0]
    old = {**rollout, "decision": {"another": "version"}, "stage": "ended", "outcome": "promoted"}
    assert status_lines(old, None) == ["  rollout:  s3://m/2 ended: promoted at 2026-01-01T00:00:00Z"]


def test_metrics_page_has_the_verdict_and_the_evidence_beside_its_line() -> None:
    text = page("iris", "ml", 20, GOOD, judged(GOOD))
    own = 'namespace="ml",service="iris"'
    assert f"mlk8s_canary_weight_percent{{{own}}} 20" in text
    assert f'mlk8s_canary_verdict{{{own},verdict="waiting"}} 1' in text
    assert f'mlk8s_canary_requests_total{{{own},version="canary"}} 40' in text
    assert f'mlk8s_canary_evidence_line_log10{{{own},metric="errors",claim="within the SLO"}} 2' in text
    assert page("iris", "ml", 0, None, None).count("\n") == 3


def test_states_say_what_keeps_it_from_going_on() -> None:
    def states(block: Block, weight: int = 20, **more: str) -> tuple[str, ...]:
        return Progress("iris", "s3://m/2", weight, block, judged(block), **more).states()

    (waits,) = states(GOOD)
    assert waits.startswith("about ") and waits.endswith(" requests to go")
    gap = Block(0.0, 10.0, 20, missing=True)
    assert states(gap)[0] == "nothing was seen in the last block"
    assert states(gap, blind="503")[0] == "nothing seen (503): the weight stays"
    assert states(GOOD, 0)[0] == "weight 0: it gets no requests until a pod of it is ready"
    assert states(GOOD, 0, held="me")[0] == "held: me; only a rollback is done by itself"
    bad = Block(0.0, 10.0, 20, Counts(400, 400), Counts(400, 0))
    assert states(bad)[-1].startswith("rollback: failed requests worse than the SLO")


def test_what_is_held_would_be_promoted() -> None:
    blocks = [Block(10.0 * n, 10.0, 50, Counts(400, 0), Counts(400, 0)) for n in range(20)]
    decision = judged(*blocks)
    assert decision.verdict == "promote"
    free = Progress("iris", "s3://m/2", 50, blocks[-1], decision).states()
    held = Progress("iris", "s3://m/2", 50, blocks[-1], decision, "me").states()
    assert free[-1].startswith("promotion: ") and held[-1].startswith("would be promoted: ")
