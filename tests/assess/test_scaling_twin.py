"""The autoscaler's twin: what Kubernetes documents of its algorithm, and what a whole simulation says."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.assess.scaling import ServiceModel, simulate
from mlk8s.assess.scaling.controller import Controller, Seen, wanted
from mlk8s.errors import UsageError
from mlk8s.render.scaling import behavior
from mlk8s.spec.autoscale import Autoscale, Behavior, Policy
from mlk8s.spec.load import LoadProfile

POD = ServiceModel(capacity=20, latency=0.05, start=8.0)


def test_the_documented_ratio() -> None:
    # "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be
    # doubled"
    assert wanted(3, Seen([200.0] * 3), 100.0) == 6
    # "if the current value is instead 50m, you'll halve the number of replicas"
    assert wanted(4, Seen([50.0] * 4), 100.0) == 2
    # "skips any scaling action if the ratio is sufficiently close to 1.0 (within ... 0.1 by default)"
    assert wanted(3, Seen([109.0] * 3), 100.0) == 3
    assert wanted(3, Seen([111.0] * 3), 100.0) == 4
    assert wanted(3, Seen([111.0] * 3), 100.0, up=0.2) == 3


def test_what_is_not_known_speaks_against_a_change() -> None:
    # Missing pods count as at target when going down, as idle when going up.
    assert wanted(4, Seen([50.0] * 2, missing=2), 100.0) == 3
    assert wanted(4, Seen([300.0] * 2, missing=2), 100.0) == 6
    assert wanted(4, Seen([130.0] * 2, missing=2), 100.0) == 4, (
        "below 1 with the missing: the direction turned"
    )
    # Pods that are not ready damp only a scale-up.
    assert wanted(4, Seen([200.0] * 2, unready=2), 100.0) == 4
    assert wanted(4, Seen([400.0] * 2, unready=2), 100.0) == 8
    assert wanted(4, Seen([40.0] * 2, unready=2), 100.0) == 1
    assert wanted(4, Seen([]), 100.0) == 4


@given(st.integers(1, 50), st.floats(0.01, 100), st.floats(0.1, 10))
def test_ready_pods_ask_for_what_brings_the_mean_to_the_target(
    count: int, value: float, target: float
) -> None:
    asked = wanted(count, Seen([value] * count), target)
    if asked != count:
        assert asked == ceil(value * count / target - 1e-9)


def controller(**changes: object) -> Controller:
    autoscale = Autoscale(min=1, max=100, target=4, **changes)  # type: ignore[arg-type]
    return Controller(1, 100, behavior(autoscale))


def test_a_lower_recommendation_has_to_last() -> None:
    hpa = controller(scale_down_stabilization="60s")
    assert hpa.decide(0, 5, 5) == 5
    assert [hpa.decide(t, 5, 2) for t in (15, 30, 45)] == [5, 5, 5]
    assert hpa.decide(60, 5, 2) == 2, "the last higher one is 60 s old"


def test_a_higher_recommendation_may_have_to_last() -> None:
    hpa = controller(scale_up_stabilization="30s")
    assert hpa.decide(0, 2, 2) == 2
    assert [hpa.decide(t, 2, 6) for t in (15, 29)] == [2, 2]
    assert hpa.decide(31, 2, 6) == 6


def test_policies_limit_what_a_period_adds_and_removes() -> None:
    hpa = controller()  # 100 % or four pods, whichever is more, every 15 s
    assert hpa.decide(0, 1, 50) == 5
    assert hpa.decide(5, 5, 50) == 5, "the period's four are there"
    assert hpa.decide(15, 5, 50) == 10
    slow = controller(
        scale_down_stabilization=0,
        scale_down=Behavior(
            policies=(Policy(type="Pods", value=2, period=60), Policy(type="Percent", value=10, period=60)),
            select="Min",
        ),
    )
    assert slow.decide(0, 20, 1) == 18
    assert slow.decide(30, 18, 1) == 18
    assert slow.decide(61, 18, 1) == 16, "nine tenths of 18 are 16.2, and replicas are whole"
    assert controller(scale_up=Behavior(select="Disabled")).decide(0, 3, 9) == 3


def test_replicas_outside_the_bounds_come_back_at_once() -> None:
    hpa = Controller(2, 6, behavior(Autoscale(min=2, max=6, target=4)))
    assert hpa.decide(0, 9, 9) == 6 and hpa.decide(1, 1, 1) == 2


def test_replicas_follow_a_step_and_go_back() -> None:
    profile = LoadProfile.steps(rps=[5, 50], hold="60s")
    pod = ServiceModel(capacity=60, latency=0.05, start=8.0)
    found = simulate(
        profile, Autoscale(min=1, max=8, metric="requests_per_second", target=10), pod, settle=150
    )
    at = {row.t: row for row in found.seconds}
    assert at[59].replicas == 1
    up = next(row.t for row in found.seconds if row.replicas > 1)
    assert 60 < up <= 60 + 5 + 2 + 5, "a sync, a scrape, and the window until the mean is a tenth above"
    # Five would do; the mean over ten seconds still has the time in which one pod had it all.
    assert 5 <= max(row.replicas for row in found.seconds) <= 8
    assert next(row.t for row in found.seconds if row.ready > 1) == pytest.approx(up + POD.start, abs=1)
    assert at[119].latency < 2 * POD.latency
    assert found.seconds[-1].replicas == 1
    assert 120 + 60 <= next(row.t for row in found.seconds if row.t > 120 and row.replicas < 5) <= 120 + 80
    assert found.warnings == ()


def test_a_closed_loop_has_its_users_in_flight() -> None:
    profile = LoadProfile.closed(users=[2, 16], hold="60s")
    found = simulate(profile, Autoscale(min=1, max=8, metric="requests_in_flight", target=4), POD)
    assert 4 <= found.seconds[-1].replicas <= 6
    assert all(row.in_flight == 16 for row in found.seconds if row.t >= 60)


def test_a_backlog_overshoots() -> None:
    # 50/s for a pod that can do 20: when more pods come they work off what waited, and look full themselves.
    profile = LoadProfile.steps(rps=[5, 50], hold="60s")
    found = simulate(profile, Autoscale(min=1, max=8, metric="requests_per_second", target=10), POD)
    assert max(row.replicas for row in found.seconds) == 8
    assert max(row.latency for row in found.seconds) > 1


def test_what_is_worth_a_warning_is_warned_of() -> None:
    # The target is above what a pod can do: the service is lost, and the autoscaler sees no reason.
    blind = simulate(
        LoadProfile.constant(rps=100, hold="60s"),
        Autoscale(min=1, max=8, metric="requests_per_second", target=30),
        POD,
        slo_latency=0.2,
    )
    assert blind.seconds[-1].replicas == 1
    assert any("above 200 ms" in text for text in blind.warnings)
    small = simulate(
        LoadProfile.constant(rps=100, hold="120s"),
        Autoscale(min=1, max=2, metric="requests_per_second", target=10),
        POD,
    )
    assert any("2 replicas are not enough" in text for text in small.warnings)
    swing = simulate(
        LoadProfile.sinusoid(mean=40, amplitude=35, period="40s", hold="240s"),
        Autoscale(min=1, max=20, metric="requests_per_second", target=5, scale_down_stabilization=0), POD,
    )  # fmt: skip
    assert any("replicas turn" in text for text in swing.warnings)


def test_what_the_twin_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="one metric"):
        simulate(
            LoadProfile.constant(rps=1, hold=1), Autoscale(min=1, max=2, metric="memory", target=50), POD
        )
    with pytest.raises(UsageError, match="cpu_request"):
        simulate(LoadProfile.constant(rps=1, hold=1), Autoscale(min=1, max=2, metric="cpu", target=50), POD)
    with pytest.raises(ValueError, match="capacity is 0"):
        ServiceModel(capacity=0, latency=0.1, start=1)


def test_cpu_is_a_share_of_the_request() -> None:
    pod = ServiceModel(capacity=20, latency=0.05, start=5, cpu=0.02)
    scaled = simulate(
        LoadProfile.constant(rps=40, hold="120s"),
        Autoscale(min=1, max=9, metric="cpu", target=50),
        pod,
        cpu_request=0.5,
    )
    assert scaled.seconds[-1].replicas == 4, "40/s of 20 ms are 0.8 CPU; half of 500m a pod"
