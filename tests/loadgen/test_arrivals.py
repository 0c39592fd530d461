from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.loadgen.arrivals import Arrivals, Profile

RATES = st.floats(min_value=0.5, max_value=500)
STAGES = st.lists(
    st.fixed_dictionaries(
        {"hold": st.floats(min_value=0.5, max_value=20), "rps": RATES, "ramp": st.booleans()}
    ),
    min_size=1,
    max_size=4,
)


def due(profile: Profile, **options: object) -> list[float]:
    return Arrivals(profile, **options).before(profile.duration).tolist()  # type: ignore[arg-type]


def test_steps_are_exact() -> None:
    profile = Profile([{"hold": 10, "rps": 5}, {"hold": 10, "rps": 50}])
    assert np.histogram(due(profile), range(21))[0].tolist() == [5] * 10 + [50] * 10
    assert profile.duration == 20 and profile.total == 550


def test_a_ramp_reaches_its_rate() -> None:
    profile = Profile([{"hold": 100, "rps": 100, "ramp": True}])
    assert profile.total == pytest.approx(5000)
    assert profile.due_until(50) == pytest.approx(1250)
    assert profile.due_until(100) - profile.due_until(99) == pytest.approx(99.5)


@given(STAGES)
def test_instants_are_the_inverse_of_how_many_are_due(stages: list[dict[str, float]]) -> None:
    profile = Profile(stages)
    numbers = np.linspace(0, profile.total * (1 - 1e-9), 50)
    times = profile.instants(numbers)
    assert [profile.due_until(t) for t in times] == pytest.approx(list(numbers), abs=1e-3)


@given(STAGES, st.one_of(st.none(), st.integers(0, 99)), st.lists(st.floats(0, 80), max_size=6))
def test_due_times_do_not_hang_on_when_they_are_asked_for(
    stages: list[dict[str, float]], seed: int | None, asked: list[float]
) -> None:
    profile = Profile(stages)
    arrivals = Arrivals(profile, seed=seed)
    pieces = [arrivals.before(min(t, profile.duration)).tolist() for t in [*sorted(asked), profile.duration]]
    times = [t for piece in pieces for t in piece]
    assert times == due(profile, seed=seed)
    assert times == sorted(times) and all(0 <= t < profile.duration + 1e-9 for t in times)


@given(STAGES, st.one_of(st.none(), st.integers(0, 99)), st.integers(1, 5))
def test_shares_together_are_the_whole(
    stages: list[dict[str, float]], seed: int | None, workers: int
) -> None:
    profile = Profile(stages)
    shares = [due(profile, seed=seed, share=(index, workers)) for index in range(workers)]
    assert sorted(t for share in shares for t in share) == due(profile, seed=seed)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_random_arrivals_are_a_poisson_process() -> None:
    profile = Profile([{"hold": 200, "rps": 50}, {"hold": 100, "rps": 150, "ramp": True}])
    times = due(profile, seed=11)
    assert len(times) == pytest.approx(profile.total, abs=4 * profile.total**0.5)
    # On the integral of the rate, the gaps of a Poisson process are unit exponentials: mean 1, variance 1.
    gaps = np.diff([profile.due_until(t) for t in times])
    assert gaps.mean() == pytest.approx(1, abs=0.04) and gaps.var() == pytest.approx(1, abs=0.1)
    assert due(profile, seed=11) == times != due(profile, seed=12)


def test_a_trace_is_replayed_as_it_was() -> None:
    profile = Profile([{"hold": 3, "rps": 1}])
    arrivals = Arrivals(profile, recorded=[0.0, 0.5, 0.5, 2.0], share=(1, 2))
    assert arrivals.before(1.0).tolist() == [0.5] and arrivals.before(3.0).tolist() == [2.0]


def test_users_follow_a_closed_loop() -> None:
    profile = Profile([{"hold": 1, "users": 8}, {"hold": 1, "users": 2}])
    assert profile.closed_loop and profile.most_users == 8
    assert [profile.users_at(t) for t in (0.5, 1.5)] == [8, 2]
