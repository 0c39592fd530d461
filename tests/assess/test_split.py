"""The exact test of a traffic split, against scipy and against its own definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlk8s.assess.split import ALPHA, assess_split, binomial_p_value, samples_to_see


@given(trials=st.integers(0, 400), share=st.floats(0, 1), probability=st.floats(0.001, 0.999))
@settings(max_examples=150, deadline=None)
def test_p_value_is_scipys(trials: int, share: float, probability: float) -> None:
    from scipy.stats import binomtest

    successes = round(share * trials)
    ours = binomial_p_value(successes, trials, probability)
    expected = binomtest(successes, trials, probability).pvalue if trials else 1.0
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_p_value_by_hand() -> None:
    # 0 of 10 at one half: only 0 and 10 are as improbable, 1/1024 each.
    assert binomial_p_value(0, 10, 0.5) == pytest.approx(2 / 1024)
    assert binomial_p_value(5, 10, 0.5) == pytest.approx(1.0)


def test_nothing_and_everything_leave_no_chance() -> None:
    assert assess_split(100, 0, 0).fits
    assert not assess_split(100, 1, 0).fits
    assert assess_split(100, 100, 100).fits
    assert not assess_split(100, 99, 100).fits


def test_split_is_refused_just_where_chance_ends() -> None:
    fitting = [count for count in range(201) if assess_split(200, count, 10).fits]
    assert fitting == list(range(min(fitting), max(fitting) + 1))
    assert 20 in fitting and 0 not in fitting and 40 not in fitting
    for count in (min(fitting) - 1, max(fitting) + 1):
        assert binomial_p_value(count, 200, 0.1) < ALPHA


def test_split_says_what_was_seen() -> None:
    assert str(assess_split(200, 0, 10)).startswith(
        "0 of 200 requests (0.0 %) reached the canary, not as asked for weight 10 (p ="
    )


@pytest.mark.parametrize("counts", [(-1, 10), (11, 10)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= successes <= trials"):
        binomial_p_value(*counts, 0.5)


@pytest.mark.parametrize("weight", [1, 5, 10, 50, 99])
def test_samples_are_enough_to_see_a_weight(weight: int) -> None:
    samples = samples_to_see(weight)
    assert math.pow(1 - weight / 100, samples) <= ALPHA * 1.001


def test_samples_are_bounded() -> None:
    assert samples_to_see(1, miss=1e-9) == 700
    assert samples_to_see(0) == 1
