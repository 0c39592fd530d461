"""The search for the rate that a pod holds: on queues whose answer is known, and its own properties."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from capacity_cases import SLO, capacity, probe, queue
from hypothesis import given, settings
from hypothesis import strategies as st

from mlk8s.assess.capacity.measured import monotone
from mlk8s.assess.capacity.probe import complete, fair_seed, judge, judged_seconds, requests_needed
from mlk8s.assess.capacity.threshold import Trial, estimate
from mlk8s.assess.compare import Block
from mlk8s.loadgen.arrivals import Arrivals, Profile
from mlk8s.loadgen.histogram import bucket_of
from mlk8s.spec.load import Slo

rates = st.floats(1.0, 5_000.0)
trials = st.lists(st.builds(Trial, rate=st.floats(10.0, 1000.0), held=st.floats(0.0, 1.0)), max_size=12)


def search(true: float, seed: int, probes: int, *, spread: float = 0.03) -> tuple[float, float, float]:
    """Probes of a pod that holds `true` three times of four; each at the middle of what is believed."""
    random, seen = np.random.default_rng(seed), []
    for _ in range(probes):
        rate = estimate(seen, true / 7, true * 3).rate
        holds = random.random() < 1 / (1 + np.exp((np.log(rate) - np.log(true)) / spread) / 3)
        seen.append(Trial(rate, float(holds)))
    found = estimate(seen, true / 7, true * 3)
    return found.rate, found.low, found.high


def test_the_search_finds_the_rate_and_its_interval_is_honest() -> None:
    found = [search(100.0, seed, probes=12) for seed in range(100)]
    errors = [abs(rate / 100 - 1) for rate, _, _ in found]
    assert np.median(errors) < 0.04
    inside = sum(low <= 100.0 <= high for _, low, high in found)
    assert inside >= 80, inside  # 90 are asked for


def test_one_disturbed_probe_does_not_decide() -> None:
    clear = [Trial(rate, float(rate < 100)) for rate in (40, 60, 80, 90, 95, 105, 110, 120, 90, 95)]
    found = estimate([*clear, Trial(50.0, 0.0)], 10.0, 400.0)
    assert 88 < found.rate < 110


@given(trials)
@settings(deadline=None, max_examples=40)
def test_the_interval_contains_the_estimate_and_lies_in_bounds(given_trials: list[Trial]) -> None:
    found = estimate(given_trials, 5.0, 2_000.0)
    assert 5.0 * 0.99 <= found.low <= found.rate <= found.high <= 2_000.0 * 1.01


@given(trials, st.floats(0.5, 0.9), st.floats(0.91, 0.99))
@settings(deadline=None, max_examples=25)
def test_more_confidence_is_a_wider_interval(seen: list[Trial], less: float, more: float) -> None:
    narrow, wide = estimate(seen, 5.0, 2_000.0, less), estimate(seen, 5.0, 2_000.0, more)
    assert wide.low <= narrow.low and narrow.high <= wide.high


@given(trials, st.floats(10.0, 1000.0))
@settings(deadline=None, max_examples=40)
def test_a_probe_that_holds_never_lowers_the_answer(seen: list[Trial], rate: float) -> None:
    before = estimate(seen, 5.0, 2_000.0).rate
    assert estimate([*seen, Trial(rate, 1.0)], 5.0, 2_000.0).rate >= before * (1 - 1e-6)
    assert estimate([*seen, Trial(rate, 0.0)], 5.0, 2_000.0).rate <= before * (1 + 1e-6)


@given(trials, st.floats(0.01, 100.0))
@settings(deadline=None, max_examples=25)
def test_the_unit_does_not_matter(seen: list[Trial], factor: float) -> None:
    one = estimate(seen, 5.0, 2_000.0)
    scaled = [Trial(trial.rate * factor, trial.held) for trial in seen]
    other = estimate(scaled, 5.0 * factor, 2_000.0 * factor)
    assert other.rate == pytest.approx(one.rate * factor, rel=1e-3)


def test_the_order_of_probes_does_not_matter() -> None:
    seen = [Trial(40, 1.0), Trial(90, 0.3), Trial(120, 0.0), Trial(80, 1.0)]
    assert estimate(seen, 5, 500).rate == pytest.approx(estimate(seen[::-1], 5, 500).rate)


@given(st.floats(2.0, 3_000.0), st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_a_fair_seed_brings_the_rate_that_was_asked_for(rate: float, first: int) -> None:
    seconds = judged_seconds(SLO, rate)
    seed = fair_seed([rate], 2.0, seconds, first)
    arrivals = Arrivals(Profile([{"hold": 2.0 + seconds, "rps": rate}]), seed=seed)
    arrivals.before(2.0)
    times = arrivals.before(2.0 + seconds)
    assert len(times) == pytest.approx(rate * seconds, rel=0.02, abs=2)
    gaps = np.diff(times)
    assert 0.6 < np.std(gaps) / np.mean(gaps) < 1.4  # still as random as they come


def test_an_answer_at_an_edge_says_so() -> None:
    broken = estimate([Trial(10.0, 0.0)] * 6, 10.0, 500.0)
    assert broken.floor and not broken.ceiling
    fine = estimate([Trial(500.0, 1.0)] * 6, 10.0, 500.0)
    assert fine.ceiling and not fine.floor
    with pytest.raises(ValueError, match="expected 0 < lowest < highest"):
        estimate([], 10.0, 10.0)


def test_probes_of_a_queue_are_judged_as_it_is() -> None:
    # One server, 10 ms a request: p99 of M/D/1 passes 100 ms at about nine tenths of its 100 requests/s.
    random = np.random.default_rng(7)
    assert all(queue(60.0, 0.01, 12, random).held for _ in range(5))
    late = [queue(120.0, 0.01, 12, random) for _ in range(5)]
    assert not any(item.held or item.kept_up for item in late)
    seen = []
    for _ in range(14):
        seen.append(queue(estimate([item.trial for item in seen], 15, 300).rate, 0.01, 12, random))
    found = estimate([item.trial for item in seen], 15, 300)
    assert 80 < found.rate < 100


def blocks(latency: float, count: int, seconds: int = 10, failed: int = 0) -> list[Block]:
    return [Block({bucket_of(int(1e9 * latency)): count - failed}, count)] * seconds


def test_a_probe_holds_where_its_promise_does() -> None:
    good = judge(SLO, blocks(0.05, 50), sent=500, ended=500)
    assert good.held and good.share == 1.0 and good.kept_up
    slow = judge(SLO, blocks(0.15, 50), sent=500, ended=500)
    assert not slow.held and slow.share == 0.0
    failing = judge(SLO, blocks(0.05, 50, failed=1), sent=500, ended=500)
    assert not failing.held and failing.share == 0.0


def test_what_does_not_keep_up_never_holds_however_long_it_may_take() -> None:
    # Twenty seconds are promised, and in ten of overload nobody has waited that long.
    found = judge(Slo(p99="20s", errors=0.01), blocks(1.0, 50), sent=600, ended=500)
    assert not found.kept_up and not found.held and found.share == 0.0


def test_nothing_answered_is_broken_and_too_little_is_not_held() -> None:
    assert not judge(SLO, [Block({}, 50)] * 10, sent=500, ended=500).held
    assert not judge(SLO, blocks(0.05, 5), sent=50, ended=50).held  # p99 of fifty


def test_the_share_lies_between_where_the_noise_leaves_it_open() -> None:
    fast, slow = bucket_of(50_000_000), bucket_of(150_000_000)
    mixed = [Block({fast: 100}, 100)] * 9 + [Block({fast: 91, slow: 9}, 100)]
    found = judge(SLO, mixed, sent=1000, ended=1000)
    assert found.held and 0.4 < found.share < 0.95


def test_a_promise_without_errors_gets_a_bound() -> None:
    assert complete(Slo(p99="100ms")).errors == 0.01
    assert complete(Slo(p99="100ms", errors=0.2)).errors == 0.2


@given(rates)
def test_a_probe_is_long_enough_to_judge_its_percentile(rate: float) -> None:
    for slo in (SLO, Slo(p90="1s"), Slo(errors=0.1)):
        assert judged_seconds(slo, rate) * rate >= requests_needed(slo)


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_monotone_values_never_fall_and_keep_their_mean(values: list[float]) -> None:
    found = monotone(values)
    assert len(found) == len(values)
    assert all(a <= b for a, b in pairwise(found))
    assert sum(found) == pytest.approx(sum(values), abs=1e-3)
    assert monotone(sorted(values)) == pytest.approx(sorted(values))


def test_in_flight_is_littles_law_where_nothing_counts_it() -> None:
    measured = capacity(50.0)
    assert measured.in_flight(35.0) == pytest.approx(35.0 * 0.02)
    assert measured.in_flight(45.0) == pytest.approx(45.0 * 0.024)
    assert measured.in_flight(0.0) == 0
    assert measured.in_flight(90.0) == pytest.approx(2 * 45.0 * 0.024)


def test_the_pods_own_count_comes_first() -> None:
    measured = capacity(50.0, probes=(probe(40.0, in_flight=0.6, cpu=0.5),))
    assert measured.counted and measured.in_flight(40.0) == pytest.approx(0.6)
    assert measured.cpu_per_request == pytest.approx(0.5 / 40)


def test_the_twins_pod_is_the_pod_without_the_way_to_it() -> None:
    seen = (probe(20.0, in_flight=0.1), probe(40.0, in_flight=0.3))
    assert capacity(50.0, probes=seen).service_model().latency == pytest.approx(0.005)


def test_the_twin_gets_the_queue_that_was_seen() -> None:
    random = np.random.default_rng(3)
    seen = tuple(queue(rate, 0.01, 60, random) for rate in (30.0, 50.0, 70.0, 80.0))
    model = capacity(90.0, probes=seen, latency=0.01, saturation=100.0).service_model()
    assert (model.capacity, model.latency, model.start) == (100.0, 0.01, 6.0)
    assert 0.3 < model.variability < 0.8  # 0.5: random arrivals of equal requests
    for item in seen:
        assert model.in_flight(item.rate) == pytest.approx(item.rate * (item.mean or 0), rel=0.25)
