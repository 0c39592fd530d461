"""Rules of Flagger and Argo from their YAML, rehearsals on recorded counts, shadow answers, intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from evidence_streams import block
from hypothesis import given, settings
from hypothesis import strategies as st

from mlk8s.assess.evidence import Block, Counts
from mlk8s.assess.evidence.conditions import Condition
from mlk8s.assess.evidence.intervals import interval, intervals, quantiles
from mlk8s.assess.evidence.rehearse import Regression, rehearse
from mlk8s.assess.evidence.rivals import Argo, Flagger, read_rule
from mlk8s.assess.evidence.shadow import Answer, disagreement, join, labelled
from mlk8s.errors import UsageError
from mlk8s.spec.analysis import Analysis, Step
from mlk8s.spec.load import Slo

FLAGGER = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  analysis:
    interval: 1m
    threshold: 2
    maxWeight: 20
    stepWeight: 10
    metrics:
    - {name: request-success-rate, interval: 1m, thresholdRange: {min: 99}}
    - {name: request-duration, interval: 1m, thresholdRange: {max: 100}}
"""
ARGO = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: success-rate}
spec:
  metrics:
  - name: success-rate
    interval: 1m
    count: 5
    successCondition: result[0] >= 0.95
    failureLimit: 1
    provider: {prometheus: {query: "sum(a) / sum(b)"}}
"""
GOOD, BAD, NONE = Counts(100, 0, {"p99": 0}), Counts(100, 10, {"p99": 0}), Counts()
LATENCY = {"p99": 0.1}


def manifest(text: str, **analysis: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    target = found["spec"]["analysis"] if found["kind"] == "Canary" else found["spec"]["metrics"][0]
    target.update(analysis)
    return found


def test_flagger_climbs_holds_and_never_forgets_a_failed_check() -> None:
    rule = read_rule(manifest(FLAGGER), LATENCY)
    assert isinstance(rule, Flagger) and (rule.interval, rule.weight) == (60, 10)
    assert rule.look(GOOD) is None and rule.weight == 20
    assert rule.look(BAD) is None and rule.weight == 20
    assert rule.fresh().weight == 10
    assert rule.look(GOOD) == "promote"
    again = rule.fresh()
    assert [again.look(counts) for counts in (BAD, GOOD, NONE)] == [None, None, "rollback"]  # no value fails


def test_flagger_looks_at_latency_where_it_is_counted() -> None:
    rule = read_rule(manifest(FLAGGER, threshold=1), LATENCY)
    assert rule.look(Counts(1000, 0, {"p99": 10})) is None
    assert rule.look(Counts(1000, 0, {"p99": 11})) == "rollback"
    with pytest.raises(UsageError, match="request-duration"):
        read_rule(manifest(FLAGGER), {"p99": 0.25})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iterations": 10}, "iterations or match"),
        ({"stepWeight": None}, "no stepWeight"),
        ({"metrics": [{"name": "mine", "templateRef": {"name": "x"}}]}, "a query of its own"),
    ],
)
def test_a_canary_that_is_not_understood_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_rule(manifest(FLAGGER, **change), LATENCY)


def test_argo_fails_after_its_limit_and_ends_with_its_steps() -> None:
    steps = (Step(weight=20), Step(weight=40))
    rule = read_rule(manifest(ARGO), {}, steps=steps)
    assert isinstance(rule, Argo) and rule.weight == 20
    assert rule.look(GOOD) is None and rule.weight == 40
    assert rule.look(BAD) == "promote"  # one failure is within failureLimit 1
    again = rule.fresh()
    assert [again.look(BAD), again.look(BAD)] == [None, "rollback"]


def test_argo_without_data_fails_or_passes_as_its_condition_says() -> None:
    strict = read_rule(manifest(ARGO, failureLimit=0), {})
    assert strict.look(NONE) == "rollback"  # NaN >= 0.95 is false
    lenient = read_rule(manifest(ARGO, successCondition="isNaN(result[0]) || result[0] >= 0.95"), {})
    assert lenient.look(NONE) is None
    both = read_rule(manifest(ARGO, failureCondition="result[0] < 0.5"), {})
    assert both.look(BAD) == "inconclusive"  # neither condition holds, inconclusiveLimit is 0


def test_argo_knows_what_a_query_returns_or_asks() -> None:
    unnamed = manifest(ARGO, name="mine")
    with pytest.raises(UsageError, match="is not known"):
        read_rule(unnamed, {})
    percent = manifest(ARGO, name="mine", successCondition="result < 5")
    rule = read_rule(percent, {}, meanings={"mine": "error rate"})
    assert rule.look(Counts(100, 4)) is None
    slow = read_rule(
        manifest(ARGO, name="mine", successCondition="result[0] <= 0.01"), LATENCY, meanings={"mine": "p99"}
    )
    assert slow.look(Counts(100, 0, {"p99": 1})) is None


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("result[0] >= 0.95", 0.95, True),
        ("result < 0.5 && result > 0.1", 0.3, True),
        ("!(result < 0.5) || result == 0.25", 0.25, True),
        ("default(result, 1) >= 0.95", None, True),
        ("len(result) > 0 && asFloat(result[0]) * 100 <= 5", 0.04, True),
        ("result[0] != 1", 1.0, False),
    ],
)
def test_conditions_are_judged(text: str, value: float | None, holds: bool) -> None:
    assert Condition(text, "here")(value) is holds


@pytest.mark.parametrize(
    "text",
    [
        "result[1] > 0",
        "all(result, {# > 1})",
        "__import__('os')",
        "result.x > 1",
        "1 < result < 2",
        "a > 1",
        "result >",
    ],
)
def test_conditions_that_are_not_understood_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not understood"):
        Condition(text, "here")


def history(count: int = 120, errors: float = 0.001) -> list[Block]:
    rng = np.random.default_rng(5)
    return [
        block(number, requests=0, stable=200, stable_errors=int(rng.binomial(200, errors)))
        for number in range(count)
    ]


def test_a_rehearsal_tells_wrong_verdicts_delay_and_harm() -> None:
    analysis = Analysis(slo=Slo(errors=0.01), deadline="20m")
    found = rehearse(
        history(), analysis, regressions=(Regression("none"), Regression("5 %", errors=0.05, after=120)),
        rules=[read_rule({**manifest(FLAGGER, metrics=[])}, {})], replays=12,
    )  # fmt: skip
    good, blind_good, bad, blind_bad = found
    assert (good.policy, good.bad, good.wrong_rollbacks) == ("evidence", False, 0.0) and good.promoted > 0.9
    assert good.harmed == 0 and good.delay is None
    assert bad.bad and bad.rolled_back > 0.9 and bad.delay is not None and bad.harmed > 0
    # A rule that looks at no metric promotes everything.
    assert blind_good.promoted == 1.0 and blind_bad.wrong_promotions == 1.0
    assert "5 % (bad)" in str(bad) and "noticed after" in str(bad)


def test_a_rehearsal_deals_out_what_was_recorded() -> None:
    # Failures come in whole blocks, which a canary at 50 % sees about half of; nothing is made up or lost.
    recorded = [
        block(number, requests=0, stable=100, stable_errors=100 if number == 3 else 0) for number in range(12)
    ]
    from mlk8s.assess.evidence.rehearse import NONE as UNCHANGED
    from mlk8s.assess.evidence.rehearse import _Traffic

    traffic = _Traffic(recorded, (), UNCHANGED, np.random.default_rng(1), 0)
    dealt = [traffic.next(50) for _ in range(24)]
    assert all(one.canary.requests + one.stable.requests == 100 for one in dealt)
    assert [one.canary.errors + one.stable.errors for one in dealt] == [
        100 if number % 12 == 3 else 0 for number in range(24)
    ]
    assert dealt[3].canary.errors == dealt[3].canary.requests


def test_a_history_that_does_not_fit_is_refused() -> None:
    analysis = Analysis(slo=Slo(errors=0.01))
    for blocks, words in (
        (history(3), "has 3 blocks"),
        ([block(number, requests=0, stable=0) for number in range(9)], "has no requests"),
    ):
        with pytest.raises(UsageError, match=words):
            rehearse(blocks, analysis)
    with pytest.raises(UsageError, match="blocks of 10 s"):
        rehearse(history(), analysis.replace(block=5))


def answers(values: list[Any], start: int = 0, **more: Any) -> list[Answer]:
    return [Answer(f"id-{start + n}", value, float(start + n), **more) for n, value in enumerate(values)]


def test_shadow_answers_are_joined_by_id_whatever_their_order() -> None:
    stable, canary = answers([1, 1, 2, 3]), answers([1, 9, 2], start=0)
    joined = join(reversed(stable), [*canary, canary[0]])
    assert [one[2] for one in joined.differ] == [False, True, False]
    assert (joined.only_stable, joined.only_canary, joined.repeated) == (1, 0, 1)
    later = labelled(stable, {"id-0": 1, "id-3": 4, "unknown": 1})
    assert [one[2] for one in later.differ] == [False, True]
    assert (later.only_stable, later.only_canary) == (2, 1)


def test_disagreement_is_tested_overall_and_by_slice() -> None:
    rng = np.random.default_rng(2)
    stable = answers([0] * 4000, slices=())
    canary = []
    for number, one in enumerate(stable):
        small = number % 20 == 0
        share = 0.5 if small else 0.001
        stable[number] = Answer(one.request, 0, one.at, ("small",) if small else ("large",))
        canary.append(Answer(one.request, int(rng.random() < share), one.at))
    found = {one.name: one for one in disagreement(join(stable, canary), bound=0.05, errors="independent")}
    assert list(found) == ["all", "large", "small"]
    assert found["small"].verdict == "differ" and found["large"].verdict == "agree"
    assert found["all"].verdict != "differ" and found["small"].requests == 200
    assert "differ in more than the bound" in str(found["small"])


def test_with_no_answer_nothing_is_known() -> None:
    (only,) = disagreement(join([], []), bound=0.05)
    assert (only.verdict, only.requests, only.low, only.high) == ("waiting", 0, 0.0, 1.0)


@given(bad=st.integers(0, 300), more=st.integers(0, 3000))
@settings(max_examples=80, deadline=None)
def test_an_interval_holds_its_estimate_and_narrows(bad: int, more: int) -> None:
    all_ = bad + more
    low, high = interval(bad, all_, 0.01)
    assert 0 <= low <= (bad / all_ if all_ else 0.5) <= high <= 1
    wide = interval(bad, all_, 0.001)
    assert wide[0] <= low + 1e-5 and high <= wide[1] + 1e-6
    if bad:
        twice = interval(2 * bad, 2 * all_, 0.01)
        assert twice[1] - twice[0] <= high - low + 1e-5


def test_intervals_hold_the_truth_at_all_times() -> None:
    rng = np.random.default_rng(9)
    looks = np.arange(20, 1501, 40)
    bad = np.cumsum(rng.random((200, 1500)) < 0.03, axis=1)[:, looks - 1]
    low, high = intervals(bad.ravel(), np.tile(looks, 200), 0.05, 0.05)
    for wrong in (low > 0.03, high < 0.03):
        # At 5 %, 19 of 200 or more have probability 0.006.
        assert wrong.reshape(200, -1).any(axis=1).sum() < 19
    # A fixed 95 % interval, looked at as often, is wrong far more often: the test can fail.
    share = bad / looks
    fixed = np.abs(share - 0.03) > 1.96 * np.sqrt(share * (1 - share) / looks)
    assert fixed.any(axis=1).sum() > 60


def test_a_quantile_lies_between_edges() -> None:
    edges = (0.05, 0.1, 0.25, 0.5)
    assert quantiles(edges, (5000, 4000, 950, 45, 5), (0.5, 0.99), 0.01) == [(0.0, 0.1), (0.1, 0.25)]
    assert quantiles(edges, (0, 0, 0, 0, 0), (0.99,), 0.01) == [(0.0, None)]
    assert quantiles(edges, (0, 0, 0, 0, 900), (0.99,), 0.01) == [(0.5, None)]
