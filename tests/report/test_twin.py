from __future__ import annotations

from pathlib import Path

import pytest
from runs import load, requests, sample, write

import mlk8s
from mlk8s.errors import UsageError
from mlk8s.operations.run import Run
from mlk8s.spec.load import LoadProfile

POD = mlk8s.ServiceModel(capacity=20, latency=0.05, start=8.0)


def test_what_would_happen_is_drawn_and_told() -> None:
    found = mlk8s.simulate(
        LoadProfile.steps(rps=[5, 100], hold="60s"),
        mlk8s.Autoscale(min=1, max=3, target=2),
        POD,
        slo_latency=0.2,
    )
    picture = found.plot()
    assert len(picture.figure.axes) == 4
    assert "Replicas go from 1 to 3" in picture.alt and "3 replicas are not enough" in picture.alt
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"].count("Warning:") == len(found.warnings) == 2
    assert "data:image/png" in bundle["text/html"] and "<script" not in bundle["text/html"]


def overloaded(directory: Path) -> Run:
    """One pod that can do 30/s in 20 ms, offered 10, then 60: what it cannot do waits."""
    lines, behind = [], 0.0
    for second in range(20):
        rate = 10 if second < 10 else 60
        behind += max(0, rate - 30)
        answered = min(rate, 30)
        lines.append(load(second, offered=float(rate), sent=rate))
        lines.append(requests(second, [0.02 + behind / 30] * answered))
    samples = [
        sample(second + 0.5, desired=1, ready=1, usage={"cpu": 0.2 if second < 10 else 0.6, "memory": 1e8})
        for second in range(-1, 20)
    ]
    pod = {"name": "iris-1", "created": "2026-11-23T21:09:00Z", "ready": "2026-11-23T21:09:05Z"}
    samples[0]["pods"] = [pod]
    profile = LoadProfile.steps(rps=[10, 60], hold=10)
    return Run.open(write(directory, lines, samples, profile))


def test_a_run_shows_what_a_pod_can_do(tmp_path: Path) -> None:
    model = overloaded(tmp_path / "run").service_model()
    assert model.capacity == pytest.approx(30)
    assert model.latency == pytest.approx(0.02, rel=0.01)
    assert model.start == 5.0
    assert model.cpu == pytest.approx(0.02, rel=0.05)
    assert model.variability == pytest.approx(0, abs=0.05)


def test_a_run_that_never_reached_the_limit_cannot_tell(tmp_path: Path) -> None:
    lines = [line for second in range(20) for line in (load(second), requests(second, [0.02] * 10))]
    samples = [sample(second + 0.5, desired=1, ready=1) for second in range(20)]
    samples[0]["pods"] = [{"name": "a", "created": "2026-11-23T21:09:00Z", "ready": "2026-11-23T21:09:05Z"}]
    calm = Run.open(write(tmp_path / "calm", lines, samples, LoadProfile.constant(rps=10, hold=20)))
    with pytest.raises(UsageError, match="overloaded"):
        calm.service_model()
    users = [load(second, offered=None) for second in range(20)]
    closed = Run.open(write(tmp_path / "users", users, samples, LoadProfile.closed(users=4, hold=20)))
    with pytest.raises(UsageError, match="closed loop"):
        closed.service_model()
