"""The judge: verdicts, weights, sentences, replay, and the shares of wrong verdicts that it promises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from evidence_streams import SECONDS, block, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from mlk8s.assess.evidence import Block, Counts, Decision, Judge, Record, State, decide
from mlk8s.assess.evidence.batch import PROMOTE, ROLLBACK, Batch
from mlk8s.assess.evidence.known import levels
from mlk8s.errors import UsageError
from mlk8s.spec.analysis import Analysis, Step
from mlk8s.spec.load import Slo

ERRORS = Slo(errors=0.01)
RAMP = tuple(Step(weight=weight) for weight in range(5, 55, 5))


def judged(blocks: list[Block], analysis: Analysis) -> list[Decision]:
    judge = Judge(analysis)
    state, found = judge.start(0.0), []
    for one in blocks:
        state = judge.step(state, one)
        found.append(judge.decide(state))
    return found


def test_a_good_version_is_promoted_with_numbers() -> None:
    found = judged([block(number) for number in range(30)], Analysis(slo=ERRORS))
    last = next(one for one in found if one.final)
    assert (last.verdict, last.action, last.weight, last.to_go) == ("promote", "promote", 100, 0)
    assert last.reasons[0].startswith("failed requests within the SLO: 0 of ")
    assert last.elapsed >= 120  # bake
    within = last.metric("errors").claim("within the SLO")
    assert within is not None and within.reached and within.log10 >= within.line == 2.0


def test_a_bad_version_is_rolled_back_by_the_slo_and_by_the_stable_version() -> None:
    blocks = [block(number, errors=10) for number in range(10)]
    last = next(one for one in judged(blocks, Analysis(slo=ERRORS)) if one.final)
    assert (last.verdict, last.weight) == ("rollback", 0)
    assert "worse than the SLO" in last.reasons[0] or "worse than stable" in last.reasons[0]
    alone = judged(blocks, Analysis(slo=ERRORS, margin=None))[-1]
    assert alone.verdict == "rollback" and alone.metric("errors").claim("worse than stable") is None


def test_a_version_within_the_slo_but_worse_than_stable_is_rolled_back() -> None:
    analysis = Analysis(slo=Slo(errors=0.1), margin=0.1, bake="20m")
    blocks = [block(number, requests=200, errors=12, stable=200, stable_errors=0) for number in range(30)]
    last = next(one for one in judged(blocks, analysis) if one.final)
    assert last.verdict == "rollback" and "worse than stable" in last.reasons[0]
    same = [block(number, requests=200, errors=12, stable=200, stable_errors=12) for number in range(30)]
    assert judged(same, analysis)[-1].verdict == "waiting"


def test_slow_requests_are_a_metric_of_their_own() -> None:
    analysis = Analysis(slo=Slo(errors=0.01, p99="100ms"))
    last = next(
        one for one in judged([block(number, slow=10) for number in range(20)], analysis) if one.final
    )
    assert last.verdict == "rollback"
    assert last.reasons[0].startswith("requests above 100 ms (p99) worse than")
    assert last.metric("p99").bound == pytest.approx(0.01)


def test_no_requests_are_neither_a_pass_nor_a_failure() -> None:
    analysis = Analysis(slo=ERRORS, deadline="2m", bake="30s", at_deadline="hold")
    found = judged([block(number, requests=0) for number in range(12)], analysis)
    assert {one.verdict for one in found[:-1]} == {"waiting"}
    assert "neither a pass nor a failure" in found[0].reasons[0]
    assert {one.weight for one in found} == {50}  # it is given no more, and nothing is taken away
    last = found[-1]
    assert (last.verdict, last.action) == ("inconclusive", "hold")
    metric = last.metric("errors")
    assert (metric.low, metric.high, metric.estimate) == (0.0, 1.0, None)


def test_missing_blocks_only_let_time_go_by() -> None:
    analysis = Analysis(slo=ERRORS)
    before = judged([block(number) for number in range(5)], analysis)[-1]
    gap = [block(number) for number in range(5)] + [block(number, missing=True) for number in range(5, 9)]
    after = judged(gap, analysis)[-1]
    assert after.verdict == "waiting" and after.missing == 4
    assert [one.evidence for one in after.metrics] == [one.evidence for one in before.metrics]
    ready = [block(number) for number in range(40)] + [block(40, missing=True)]
    assert judged(ready, analysis)[-1].verdict == "waiting"  # not promoted while nothing can be seen


def test_at_the_deadline_the_user_has_chosen() -> None:
    for choice, weight in (("rollback", 0), ("promote", 100), ("hold", 50)):
        analysis = Analysis(slo=ERRORS, deadline="1m", bake=0, at_deadline=choice)
        last = judged([block(number, requests=10) for number in range(6)], analysis)[-1]
        assert (last.verdict, last.action, last.weight) == ("inconclusive", choice, weight)
        assert last.reasons[0].startswith("60 s are over without enough evidence")


def test_weight_grows_with_the_evidence_and_within_the_harm_that_is_accepted() -> None:
    def weights(most: int, rate: int = 200) -> list[int]:
        judge = Judge(Analysis(slo=ERRORS, max_harmed_requests=most, deadline="3h"))
        state, found = judge.start(0.0), []
        for number in range(12):
            mine = rate * state.weight // 100
            state = judge.step(
                state,
                Block(
                    number * SECONDS, SECONDS, judge.decide(state).weight, Counts(mine), Counts(rate - mine)
                ),
            )
            found.append(judge.decide(state).weight)
        return found

    bold, shy = weights(1000), weights(20)
    assert bold == sorted(bold) and bold[-1] == 50
    assert all(a <= b for a, b in zip(shy, bold, strict=True)) and shy != bold


def test_harm_that_is_used_up_ends_the_rollout() -> None:
    analysis = Analysis(slo=ERRORS, errors="correlated", max_harmed_requests=30)
    last = judged([block(0, requests=100, errors=60)], analysis)[-1]
    assert last.verdict == "rollback" and "max_harmed_requests" in last.reasons[0] and last.harmed == 59


def test_steps_are_held_with_requests_and_not_climbed_against_evidence() -> None:
    steps = (Step(weight=5, pause=20), Step(weight=25, pause=20), Step(weight=50, pause=20))
    judge = Judge(Analysis(slo=ERRORS, steps=steps, deadline="3h", errors="independent"))

    def run(blocks: list[dict[str, Any]]) -> int:
        state = judge.start(0.0)
        for number, one in enumerate(blocks):
            state = judge.step(state, block(number, weight=judge.decide(state).weight, **one))
        return judge.decide(state).weight

    assert run([]) == 5
    assert run([{}]) == 5 and run([{}, {}]) == 25 and run([{}, {}, {}, {}]) == 50
    assert run([{}, {"requests": 0}]) == 5 and run([{}, {"missing": True}, {}]) == 25
    assert run([{"errors": 6}, {}]) == 5  # evidence against it, though not enough to roll back


def test_a_version_is_promoted_from_a_weight_on() -> None:
    analysis = Analysis(slo=ERRORS, promote_from=50)
    low = [block(number, weight=10) for number in range(40)]
    assert judged(low, analysis)[-1].verdict == "waiting"
    assert judged([*low, block(40, weight=50)], analysis)[-1].verdict == "promote"


def test_a_late_regression_is_found_although_it_began_well() -> None:
    analysis = Analysis(slo=ERRORS, promote_from=50)
    blocks = [block(number, weight=10) for number in range(60)]
    blocks += [block(number, errors=20) for number in range(60, 66)]
    found = judged(blocks, analysis)
    assert found[59].verdict == "waiting"
    assert [one.verdict for one in found[60:]].index("rollback") <= 5


@pytest.mark.parametrize("assumed", ["independent", "correlated"])
def test_evidence_is_monotone_in_the_failures(assumed: str) -> None:
    analysis = Analysis(slo=ERRORS, errors=assumed)

    def logs(errors: int) -> tuple[float, float, float]:
        last = judged([block(number, errors=errors) for number in range(5)], analysis)[-1]
        worse, gap, within = last.metric("errors").evidence
        return worse.log10, gap.log10, within.log10

    found = [logs(errors) for errors in (0, 1, 2, 4, 8)]
    assert [one[0] for one in found] == sorted(one[0] for one in found)
    assert [one[1] for one in found] == sorted(one[1] for one in found)
    assert [one[2] for one in found] == sorted((one[2] for one in found), reverse=True)


def test_blocks_out_of_order_are_refused() -> None:
    judge = Judge(Analysis(slo=ERRORS))
    state = judge.step(judge.start(0.0), block(1))
    with pytest.raises(UsageError, match="before the last one ended"):
        judge.step(state, block(1))


def test_the_budget_is_split_and_told() -> None:
    analysis = Analysis(slo=Slo(errors=0.01, p50="10ms", p99="100ms"), alpha=0.03)
    assert levels(analysis) == (pytest.approx(0.005), 0.01)
    decision = decide([block(0)], analysis.replace(margin=None))
    assert decision.split == (
        "alpha 3 % is split evenly: 1 % for each of the 3 claims that would roll back; "
        "beta 1 % for each metric, all of which a promotion needs"
    )


@given(
    counts=st.lists(
        st.tuples(st.integers(0, 60), st.floats(0, 0.3), st.integers(0, 60), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    errors=st.sampled_from(["independent", "adaptive", "correlated"]),
)
@settings(max_examples=15, deadline=None)
def test_a_record_replays_and_a_state_restores(
    counts: list[tuple[int, float, int, bool]], errors: str
) -> None:
    analysis = Analysis(slo=Slo(errors=0.02, p99="100ms"), errors=errors, deadline="1h")
    judge = Judge(analysis)
    state = judge.start(0.0)
    lines = [Record.head(analysis, 0.0)]
    for number, (requests, share, stable, missing) in enumerate(counts):
        one = block(number, requests=requests, errors=int(requests * share), stable=stable, missing=missing)
        state = judge.step(state, one)
        lines.append(Record.line(one, judge.decide(state, queries={"requests": "sum(x)"})))
    record = Record.read(lines)
    assert record.differences() == []
    assert record.replay() == tuple(decision for _, decision in record.entries)
    again = judge.restore(json.loads(json.dumps(state.to_dict())))
    assert isinstance(again, State) and judge.decide(again) == judge.decide(state)
    # A kill may cut the last line off; what is before it is read.
    assert len(Record.read([*lines, lines[-1][:40]]).entries) == len(counts)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(UsageError, match="first line"):
        Record.read(['{"a": 1}'])
    with pytest.raises(UsageError, match="not JSON"):
        Record.read([Record.head(Analysis(slo=ERRORS), 0.0), "{", "{}"])


@pytest.mark.parametrize("errors", ["independent", "adaptive", "correlated"])
def test_a_thousand_at_once_are_judged_as_one_by_one(errors: str) -> None:
    analysis = Analysis(
        slo=ERRORS, steps=RAMP, errors=errors, max_harmed_requests=10_000, deadline="20m", bake="1m"
    )
    replays, blocks = 5, 70
    rng = np.random.default_rng(7)
    shares = np.array([0.0, 0.01, 0.02, 0.05, 0.2])
    judge, batch = Judge(analysis), Batch(analysis, replays)
    states = [judge.start(0.0) for _ in range(replays)]
    ends: list[tuple[int, int] | None] = [None] * replays
    for number in range(blocks):
        weights = batch.weight
        all_ = rng.poisson(2 * weights)
        bad = rng.binomial(all_, shares)
        other = rng.poisson(200 - 2 * weights)
        other_bad = rng.binomial(other, 0.002)
        batch.add(
            (bad[:, None].astype(float), all_[:, None].astype(float)),
            (other_bad[:, None].astype(float), other[:, None].astype(float)),
        )
        for index in range(replays):
            if ends[index] is not None:
                continue
            assert judge.decide(states[index]).weight == weights[index]
            one = Block(
                number * SECONDS, SECONDS, int(weights[index]),
                Counts(int(all_[index]), int(bad[index])), Counts(int(other[index]), int(other_bad[index])),
            )  # fmt: skip
            states[index] = judge.step(states[index], one)
            word = judge.decide(states[index]).verdict
            if word in ("promote", "rollback"):
                ends[index] = ({"promote": PROMOTE, "rollback": ROLLBACK}[word], number + 1)
    expected = [end or (0, blocks) for end in ends]
    assert expected == list(zip(batch.verdict.tolist(), batch.blocks.tolist(), strict=True))
    assert {verdict for verdict, _ in expected} >= {ROLLBACK}


def wrong(
    analysis: Analysis, error: float, stable: float, cluster: int, seed: int, replays: int = 300
) -> Any:
    """Return the shares promoted and rolled back."""
    rng = np.random.default_rng(seed)
    batch = Batch(analysis, replays)
    for _ in range(120):
        all_, other = (cluster * rng.poisson(40 / cluster, size=replays) for _ in range(2))
        bad = cluster * rng.binomial(all_ // cluster, error)
        other_bad = cluster * rng.binomial(other // cluster, stable)
        batch.add(
            (bad[:, None].astype(float), all_[:, None].astype(float)),
            (other_bad[:, None].astype(float), other[:, None].astype(float)),
        )
    return np.mean(batch.verdict == PROMOTE), np.mean(batch.verdict == ROLLBACK)


@pytest.mark.parametrize(
    ("errors", "burst", "cluster"),
    [("independent", None, 1), ("adaptive", None, 1), ("correlated", 5, 5), ("correlated", None, 20)],
)
def test_wrong_verdicts_stay_within_their_budgets(errors: str, burst: int | None, cluster: int) -> None:
    # Exactly at the bound, and exactly as bad as stable: both verdicts are wrong, and nothing is nearer.
    # 10 of 300 or fewer have probability 0.9994 at 1 %, so that the test fails where the budget is broken.
    analysis = Analysis(slo=Slo(errors=0.05), steps=RAMP, errors=errors, burst=burst, margin=0.0)
    promoted, back = wrong(analysis, 0.05, 0.05, cluster, seed=11)
    assert promoted <= 10 / 300 and back <= 10 / 300


def test_what_is_taken_for_independent_and_is_not_breaks_the_budget() -> None:
    # The reverse: the test above can fail.
    analysis = Analysis(slo=Slo(errors=0.05), steps=RAMP, errors="independent", margin=0.0)
    promoted, back = wrong(analysis, 0.05, 0.05, 20, seed=11)
    assert promoted > 0.1 and back > 0.1


def test_good_and_bad_versions_are_told_apart_with_few_requests() -> None:
    rng = np.random.default_rng(3)
    for error, verdict in ((0.001, "promote"), (0.08, "rollback")):
        last = next(one for one in judged(drawn(rng, 150, error=error), Analysis(slo=ERRORS)) if one.final)
        assert last.verdict == verdict and last.requests < 2_000
