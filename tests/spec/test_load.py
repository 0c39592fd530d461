from __future__ import annotations

from math import pi

import pytest

from mlk8s.errors import SpecError
from mlk8s.loadgen.arrivals import Profile
from mlk8s.spec.load import LoadProfile, Slo, Stage


def test_steps() -> None:
    profile = LoadProfile.steps(rps=[50, 100, 200], hold="1m30s")
    assert [(stage.rps, stage.hold) for stage in profile.stages] == [(50, 90), (100, 90), (200, 90)]
    assert profile.duration == 270
    assert not profile.closed_loop
    assert profile.describe() == "50, 100, 200 requests/s, 90 s each"


def test_constant_ramp_and_closed() -> None:
    assert LoadProfile.constant(rps=7.5, hold=20).describe() == "7.5 requests/s, 20 s"
    ramp = LoadProfile.ramp(start=10, end=100, over="30s")
    assert ramp.describe() == "10 requests/s for 1 s, then ramp to 100 requests/s for 30 s"
    closed = LoadProfile.closed(users=[2, 8], hold="10s")
    assert closed.closed_loop
    assert closed.describe() == "2, 8 users, 10 s each"


def test_a_spike_a_swing_and_a_trace() -> None:
    spike = LoadProfile.spike(rps=10, peak=100, before="5s", width="2s", after="5s")
    assert [(stage.rps, stage.hold) for stage in spike.stages] == [(10, 5), (100, 2), (10, 5)]
    swing = LoadProfile.sinusoid(mean=50, amplitude=30, period="10s", hold="20s", arrivals="poisson", seed=3)
    due = Profile([stage.model_dump() for stage in swing.stages]).due_until
    assert swing.duration == pytest.approx(20, abs=0.01)
    # The integral of 50 + 30 sin(2 pi t / 10) over the first half of a period is 250 + 300 / pi
    assert due(5) == pytest.approx(250 + 300 / pi, rel=0.005)
    assert due(20) == pytest.approx(1000, rel=0.005)
    assert swing.describe() == "65 stages of 20 to 80 requests/s at random, 20.001 s together"
    trace = LoadProfile.replay([100.0, 100.5, 104.0], speed=2)
    assert trace.trace == (0.0, 0.25, 2.0) and trace.duration == 3
    assert trace.describe() == "a trace of 3 requests in 3 s"


def test_connections_grow_with_the_rate() -> None:
    assert LoadProfile.constant(rps=1, hold=1).most_connections == 16
    assert LoadProfile.steps(rps=[10, 100, 10], hold=1).most_connections == 200
    assert LoadProfile.constant(rps=5000, hold=1).most_connections == 1000
    assert LoadProfile.constant(rps=5000, hold=1, connections=7).most_connections == 7
    assert LoadProfile.closed(users=[2, 9], hold=1).most_connections == 9


def test_a_profile_survives_json() -> None:
    profile = LoadProfile.ramp(start=10, end=100, over="30s", timeout="2s", connections=5)
    assert LoadProfile(**profile.model_dump(mode="json")) == profile


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hold": "60s"}, "exactly one of rps"),
        ({"hold": "60s", "rps": 5, "users": 5}, "exactly one of rps"),
        ({"hold": "60s", "rps": 0}, "Stage.rps"),
        ({"hold": "60s", "rps": -1}, "Stage.rps"),
        ({"hold": "60s", "rps": float("nan")}, "Stage.rps"),
        ({"hold": "60s", "rps": 1e7}, "Stage.rps"),
        ({"hold": "60 sec", "rps": 5}, "Stage.hold"),
        ({"hold": "0s", "rps": 5}, "Stage.hold"),
        ({"hold": "200h", "rps": 5}, "Stage.hold"),
        ({"hold": "60s", "users": 0}, "Stage.users"),
        ({"hold": "60s", "users": 2.5}, "Stage.users"),
        ({"hold": "60s", "users": 2, "ramp": True}, "ramp needs rps"),
        ({"hold": "60s", "rsp": 5}, "did you mean 'rps'"),
    ],
)
def test_a_stage_that_cannot_be(values: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words.replace(".", r"\.")):
        Stage(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stages": []}, "LoadProfile.stages"),
        ({"stages": [Stage(rps=1, hold=1), Stage(users=1, hold=1)]}, "not a mixture"),
        (
            {"stages": [Stage(rps=1, hold=2000), Stage(rps=1, hold=2000)]},
            "4,000 s are above the ceiling of 3,600; if that is meant, raise it: most_duration=4000",
        ),
        ({"stages": [Stage(users=1, hold=1)], "connections": 4}, "connections belongs"),
        ({"stages": [Stage(users=1, hold=1)], "arrivals": "poisson"}, "arrivals belongs"),
        ({"stages": [Stage(rps=1, hold=1)], "arrivals": "random"}, "LoadProfile.arrivals"),
        ({"stages": [Stage(rps=1, hold=1)], "seed": -1}, "LoadProfile.seed"),
        ({"stages": [Stage(rps=1, hold=1)], "stop_above": 0}, "LoadProfile.stop_above"),
        ({"stages": [Stage(rps=1, hold=5)], "warmup": "5s"}, "nothing would be judged"),
        ({"stages": [Stage(rps=1, hold=5)], "trace": [2.0, 1.0]}, "ascending"),
        ({"stages": [Stage(rps=1, hold=5)], "trace": [2.0, 7.0]}, "LoadProfile.replay makes it"),
        (
            {"stages": [Stage(rps=1, hold=1)], "trace": [0.5] * 10001},
            "10,001 requests in one second of the trace are above",
        ),
        ({"stages": [Stage(rps=1, hold=1)], "timeout": "2m"}, "LoadProfile.timeout"),
    ],
)
def test_a_profile_that_cannot_be(values: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words.replace(".", r"\.")):
        LoadProfile(**values)


def test_slo() -> None:
    slo = Slo(p99="100ms", p50=0.02, errors=0.01)
    assert slo.latency == {"p50": 0.02, "p99": 0.1}
    for values in ({}, {"errors": 1.5}, {"p99": "0s"}, {"p99": "fast"}):
        with pytest.raises(SpecError):
            Slo(**values)
