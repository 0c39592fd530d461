from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.loadgen.schedule import Pacer, Schedule

RATES = st.floats(min_value=0.5, max_value=500)
STAGES = st.lists(
    st.fixed_dictionaries(
        {"hold": st.floats(min_value=0.5, max_value=20), "rps": RATES, "ramp": st.booleans()}
    ),
    min_size=1,
    max_size=4,
)


def test_steps_are_exact() -> None:
    schedule = Schedule([{"hold": 10, "rps": 5}, {"hold": 10, "rps": 50}])
    times = [schedule.time_of(number) for number in range(550)]
    assert [sum(second <= t < second + 1 for t in times) for second in range(20)] == [5] * 10 + [50] * 10
    assert schedule.time_of(550) == inf
    assert schedule.duration == 20


def test_a_ramp_reaches_its_rate() -> None:
    schedule = Schedule([{"hold": 100, "rps": 100, "ramp": True}])
    assert schedule.total == pytest.approx(5000)
    assert schedule.due_until(50) == pytest.approx(1250)
    assert schedule.due_until(100) - schedule.due_until(99) == pytest.approx(99.5)


@given(STAGES, st.floats(min_value=0, max_value=1))
def test_time_of_a_request_is_the_inverse_of_how_many_are_due(
    stages: list[dict[str, float]], share: float
) -> None:
    schedule = Schedule(stages)
    number = int(share * (schedule.total - 1e-3))
    at = schedule.time_of(number)
    if at < inf:
        assert schedule.due_until(at) == pytest.approx(number, abs=1e-3)


@given(STAGES)
def test_due_times_never_go_back(stages: list[dict[str, float]]) -> None:
    schedule = Schedule(stages)
    times = [schedule.time_of(number) for number in range(min(300, int(schedule.total)))]
    assert times == sorted(times)


def test_connections_grow_with_the_rate_and_are_never_closed_in_between() -> None:
    schedule = Schedule([{"hold": 1, "rps": 10}, {"hold": 1, "rps": 100}, {"hold": 1, "rps": 10}])
    assert [schedule.users_at(t) for t in (0.5, 1.5, 2.5)] == [5, 50, 50]
    assert Schedule([{"hold": 1, "rps": 100}], connections=7).users_at(0) == 7


def test_users_follow_a_closed_loop() -> None:
    schedule = Schedule([{"hold": 1, "users": 8}, {"hold": 1, "users": 2}])
    assert schedule.closed_loop
    assert [schedule.users_at(t) for t in (0.5, 1.5)] == [8, 2]


def test_the_pacer_hands_out_each_request_once() -> None:
    pacer = Pacer(Schedule([{"hold": 1, "rps": 4}]))
    assert [pacer.take(0.0) for _ in range(5)] == [0.0, 0.25, 0.5, 0.75, inf]
    assert pacer.dropped == 0


def test_after_a_stall_old_requests_are_dropped_and_counted() -> None:
    pacer = Pacer(Schedule([{"hold": 10, "rps": 10}]))
    assert pacer.take(0.0) == 0.0
    assert pacer.take(5.0) == pytest.approx(4.0)  # at most a second late
    assert pacer.dropped == 39
