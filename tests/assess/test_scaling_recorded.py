"""The autoscaler's twin beside real autoscalers: runs of a local cluster that `record_scaling.py` recorded.

The service model is fitted to case `one-pod`, a staircase of rates on one pod without an autoscaler, and to
nothing else. When the controller began to look is chance, and taken from each recording: its first sync is
the sample in which the metric first changed. Everything else are the local cluster's own settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlk8s.assess.scaling import Cadence, Measured, ServiceModel, Simulation, simulate
from mlk8s.assess.scaling.twin import LOCAL
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.load import LoadProfile

HERE = Path(__file__).parent / "facts" / "scaling"
CASES = ("steps", "spike", "users")
EQUAL = 0.9
"""Share of the seconds in which twin and cluster must have the same number of replicas."""


def recorded(case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))
    return found


def one_pod() -> ServiceModel:
    found = recorded("one-pod")
    names = ("offered", "answered", "latency", "ready")
    rows = zip(*(found["seconds"][name] for name in names), strict=True)
    seconds = [
        Measured(due or 0.0, answered or 0.0, latency, int(ready)) for due, answered, latency, ready in rows
    ]
    (pod,) = found["pods"]
    return ServiceModel.fit(seconds, start=pod["ready"] - pod["created"])


def first_sync(found: dict[str, Any]) -> float:
    """Return when the controller first looked: noted to a tenth, or the sample that first shows it.

    A sample is taken in the middle of its second; each of these runs has later syncs that just missed theirs,
    so that they fell close before it.
    """
    if found.get("syncs"):
        return float(found["syncs"][0])
    metric = found["seconds"]["metric"]
    return float(next(t for t in range(1, len(metric)) if metric[t] != metric[t - 1])) + 0.5


def twin(found: dict[str, Any], cadence: Cadence | None = None) -> Simulation:
    autoscale = Autoscale(**{name: found["autoscale"][name] for name in ("min", "max", "metric", "target")})
    cadence = cadence or Cadence(
        LOCAL.sync, LOCAL.scrape, LOCAL.window, first_sync(found) % LOCAL.sync, LOCAL.routing
    )
    return simulate(
        LoadProfile(**found["profile"]), autoscale, one_pod(), settle=found["settle"], cadence=cadence
    )


def equal(found: dict[str, Any], simulation: Simulation) -> dict[str, float]:
    """Return the share of seconds with the same number of ready and of wanted replicas."""
    seconds = found["seconds"]
    pairs = {
        "ready": [(row.ready, real) for row, real in zip(simulation.seconds, seconds["ready"], strict=False)],
        "wanted": [
            (row.replicas, real) for row, real in zip(simulation.seconds, seconds["wanted"], strict=False)
        ],
    }
    return {name: sum(one == other for one, other in both) / len(both) for name, both in pairs.items()}


@pytest.mark.parametrize("case", CASES)
def test_replicas_are_those_of_the_real_run(case: str) -> None:
    found = recorded(case)
    assert max(found["seconds"]["ready"]) == 4 and found["seconds"]["ready"][-1] == 1, "nothing to foresee"
    shares = equal(found, twin(found))
    assert min(shares.values()) >= EQUAL, shares


def test_the_profiles_are_different_and_the_model_is_of_none_of_them() -> None:
    profiles = [LoadProfile(**recorded(case)["profile"]) for case in ("one-pod", *CASES)]
    assert len({profile.describe() for profile in profiles}) == 4
    assert recorded("one-pod")["autoscale"] is None


def test_the_model_of_one_pod_is_what_was_seen() -> None:
    model = one_pod()
    assert model.capacity == pytest.approx(34, rel=0.05), "answers/s while 60/s were offered"
    assert model.latency == pytest.approx(0.0125, rel=0.1), "at 4/s and 10/s"
    assert 0 <= model.variability < 0.3, "regular arrivals hardly queue"


def test_a_controller_that_looks_rarely_would_be_noticed() -> None:
    # The comparison can fail: Kubernetes' default of 15 s and a window of a minute are another cluster's.
    found = recorded("spike")
    assert min(equal(found, twin(found, Cadence(sync=15.0, window=60.0))).values()) < EQUAL
