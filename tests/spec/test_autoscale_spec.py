"""What an autoscaler may be told, and which of them would fight."""

from __future__ import annotations

from typing import Any

import pytest

from mlk8s.errors import SpecError
from mlk8s.spec.autoscale import Autoscale, Behavior, Policy
from mlk8s.spec.metric import Follow, Metric
from mlk8s.spec.route import Route
from mlk8s.spec.service import ModelService
from mlk8s.spec.vertical import Vertical

QUEUE = Metric(name="queue", kind="external", series="jobs_queued")


def service(**values: Any) -> ModelService:
    return ModelService(name="iris", model="s3://models/iris/1", **values)


def keda(**values: Any) -> Autoscale:
    return Autoscale(min=0, max=2, scaler="keda", **values)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Autoscale(max=2), "target is required"),
        (lambda: Autoscale(min=3, max=2, target=1), "min 3 is above max 2"),
        (lambda: Autoscale(min=0, max=2, target=1), "only scaler='keda' can do"),
        (lambda: Autoscale(max=2, target=1, cooldown=60), "cooldown is given without scaler='keda'"),
        (lambda: Autoscale(max=2, metric="cpu", target=0.7), "is in percent; expected 1 to 1000"),
        (
            lambda: Autoscale(max=2, target=1, metrics=(Follow(metric="cpu", target=70),)),
            "expected one of the two forms",
        ),
        (
            lambda: Autoscale(
                max=2, metrics=(Follow(metric="cpu", target=70), Follow(metric="cpu", target=9))
            ),
            "cpu is followed twice",
        ),
        (lambda: keda(metric="cpu", target=70), "every metric is of running pods"),
        (lambda: Policy(type="Pods", value=1, period=3600), "Policy.period"),
        (lambda: Behavior(tolerance=1.5), "Behavior.tolerance"),
        (lambda: Behavior(stabilization=7200), "Behavior.stabilization"),
        (lambda: Metric(name="Queue", series="x"), "Metric.name"),
        (lambda: Metric(name="cpu", series="x"), "Kubernetes' own"),
        (lambda: Metric(name="q", series="sum(x)"), "Metric.series"),
        (lambda: Metric(name="q", series="x", labels={"a-b": "c"}), "expected a Prometheus label"),
        (lambda: Follow(metric="requests_in_flight", target=1, per="total"), "per 'total'"),
        (lambda: Follow(metric=QUEUE, target=1, name="x"), "name is for object metrics"),
        (lambda: Vertical(min={"cpu": "2"}, max={"cpu": "1"}), "min cpu 2 is above max 1"),
        (lambda: Vertical(min={"memory": "1Gi"}, resources=("cpu",)), "not in resources"),
        (lambda: Vertical(max={"cpu": "0"}), "expected more than 0"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(make: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"autoscale": Autoscale(max=3, metric="cpu", target=60), "vertical": Vertical(mode="Initial")},
            "each would undo the other",
        ),
        ({"vertical": Vertical(mode="InPlaceOrRecreate"), "replicas": 1}, "nothing would answer meanwhile"),
        (
            {
                "vertical": Vertical(mode="InPlaceOrRecreate"),
                "autoscale": Autoscale(min=1, max=3, target=4),
            },
            "there may be only 1",
        ),
        ({"autoscale": Autoscale(max=3, target=4), "replicas": 2}, "would fight over one field"),
        ({"vertical": Vertical(), "strategy": "BlueGreen"}, "would stay with one colour"),
        ({"autoscale": keda(target=4), "strategy": "BlueGreen"}, "would stay with one colour"),
        ({"autoscale": keda(target=4), "route": None}, "without an Ingress no metric tells of demand"),
        ({"autoscale": keda(target=4), "route": Route(gateway="a/b")}, "expected a route without gateway"),
    ],
)
def test_autoscalers_that_would_fight_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        service(**values)
    assert words in caught.value.what


def test_what_goes_together_is_taken() -> None:
    service(autoscale=Autoscale(max=3, metric="cpu", target=60), vertical=Vertical())
    service(
        autoscale=Autoscale(max=3, metric="cpu", target=60),
        vertical=Vertical(mode="InPlaceOrRecreate", resources=("memory",)),
    )
    service(autoscale=keda(metric=QUEUE, target=4), route=None)


def test_the_simple_form_is_one_metric() -> None:
    (only,) = Autoscale(max=3, target=4).followed
    assert (only.metric, only.target) == ("requests_in_flight", 4)
