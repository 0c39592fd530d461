"""From a pod's capacity to replicas, targets, resources and cost."""

from __future__ import annotations

import pytest
from capacity_cases import SLO, capacity, probe
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.assess.capacity.apply import planned_spec
from mlk8s.assess.capacity.plan import (
    Demand,
    cores,
    cost_per_million,
    mebibytes,
    plan,
    replicas_for,
    scale_down_window,
    significant,
)
from mlk8s.assess.capacity.words import (
    answer_words,
    check_words,
    confirmed,
    doubts,
    plan_words,
    promise_words,
)
from mlk8s.errors import SpecError, UsageError
from mlk8s.render.scaling import behavior
from mlk8s.spec.autoscale import Autoscale, Behavior
from mlk8s.spec.load import Slo
from mlk8s.spec.metric import Follow
from mlk8s.spec.quantity import parse_quantity
from mlk8s.spec.resources import Gpu, Resources
from mlk8s.spec.service import ModelService
from mlk8s.spec.vertical import Vertical

SPEC = ModelService(name="iris", model="s3://models/iris/1")
positive = st.floats(0.5, 5_000.0)


@given(positive, positive, st.floats(0.05, 0.9), st.floats(1.0, 300.0), st.floats(1.0, 3600.0))
def test_replicas_bear_the_peak_and_a_lost_pod(
    peak: float, rate: float, headroom: float, reaction: float, ramp: float
) -> None:
    pod_rps = rate * (1 - headroom)
    found = replicas_for(peak, rate, pod_rps, reaction, ramp)
    assert 2 <= found.min <= found.max or found.max == 1
    assert found.needed * pod_rps >= peak * (1 - 1e-6)
    assert (found.needed - 1) * pod_rps < peak * (1 + 1e-6)
    assert found.max >= found.needed
    assert (found.max - 1) * rate >= peak * (1 - 1e-6) and found.survives
    # what the fewest have free takes what the load adds until others are there, or they are all there are
    free = found.min * (rate - pod_rps)
    assert free >= peak * min(1.0, reaction / ramp) * (1 - 1e-6) or found.min == found.max


@given(positive, positive, st.floats(1.01, 3.0))
def test_a_higher_peak_never_needs_fewer_pods(peak: float, rate: float, more: float) -> None:
    one, other = (replicas_for(item, rate, 0.8 * rate, 30.0, 300.0) for item in (peak, peak * more))
    assert one.needed <= other.needed and one.max <= other.max and one.min <= other.min


@given(st.floats(1.0, 4_000.0))
def test_windows_are_what_kubernetes_takes(reaction: float) -> None:
    window = scale_down_window(reaction)
    assert 60 <= window <= 3600 and window % 30 == 0
    assert window >= min(3600, 2 * reaction)


@given(st.floats(0.0, 100.0), st.floats(0.1, 5_000.0), st.integers(1, 100))
def test_cost_is_price_over_requests(price: float, rps: float, pods: int) -> None:
    one = cost_per_million(price, rps)
    assert one * rps * 3600 / 1e6 == pytest.approx(price)
    assert cost_per_million(pods * price, pods * rps) == pytest.approx(one)


@given(st.floats(0.0005, 64.0))
def test_cores_are_enough_and_little_more(value: float) -> None:
    given_cores = float(parse_quantity(cores(value)))
    assert value * (1 - 1e-6) <= given_cores <= value + 0.0101


@given(st.floats(0, 2**40))
def test_memory_is_enough_and_little_more(value: float) -> None:
    found = float(parse_quantity(mebibytes(value)))
    assert value <= found <= max(128 * 2**20, value + 16 * 2**20)


@given(st.floats(0.001, 1e6))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    assert significant(value) == pytest.approx(value, rel=0.0051)


def test_the_target_is_littles_law_at_what_the_head_room_leaves() -> None:
    found = plan(capacity(50.0), SPEC, Demand(headroom=0.2))
    assert found.pod_rps == pytest.approx(40.0)
    assert found.metric == "requests_in_flight"
    # between 35/s with 0.7 and 45/s with 1.08 in flight
    assert found.target == pytest.approx((0.7 + 1.08) / 2, rel=0.01)
    assert found.replicas is None and found.cost is None and found.gpus is None


def test_a_small_head_room_stays_within_what_is_known() -> None:
    assert plan(capacity(50.0), SPEC, Demand(headroom=0.01)).pod_rps == pytest.approx(48.0)


def test_the_metric_is_the_services_own_where_it_can_be() -> None:
    follows = SPEC.replace(autoscale=Autoscale(min=1, max=3, metric="requests_per_second", target=5))
    found = plan(capacity(50.0), follows, Demand())
    assert (found.metric, found.target) == ("requests_per_second", pytest.approx(40.0))
    cpu = SPEC.replace(autoscale=Autoscale(min=1, max=3, metric="cpu", target=70))
    assert plan(capacity(50.0), cpu, Demand()).metric == "requests_in_flight"
    assert plan(capacity(50.0), cpu, Demand(metric="requests_per_second")).metric == "requests_per_second"


def test_a_planned_service_has_the_autoscaler_and_nothing_else_changes() -> None:
    spec = SPEC.replace(replicas=3, max_in_flight=99)
    found = plan(capacity(50.0), spec, Demand(peak=180))
    made = planned_spec(spec, found)
    assert made.autoscale is not None
    assert (made.autoscale.min, made.autoscale.max) == (2, 5)
    assert made.autoscale.target == found.target
    assert (made.max_in_flight, made.model, made.name) == (99, spec.model, "iris")
    assert made.resources == spec.resources  # nothing told of CPU and memory
    assert "stays as it is" in found.notes[0]


def test_what_the_autoscaler_has_further_stays() -> None:
    now = Autoscale(
        min=0, max=3, scaler="keda", scale_down=Behavior(stabilization="5m", select="Min"),
        metrics=(Follow(metric="cpu", target=70), Follow(metric="requests_in_flight", target=9)),
    )  # fmt: skip
    spec = SPEC.replace(autoscale=now)
    found = plan(capacity(50.0), spec, Demand(peak=180))
    made = planned_spec(spec, found).autoscale
    assert made is not None and made.min == 0 and made.scaler == "keda"
    assert [item.metric for item in made.metrics] == ["requests_in_flight", "cpu"]
    assert made.metrics[0].target == found.target
    assert behavior(made)["scaleDown"]["stabilizationWindowSeconds"] == found.scale_down
    assert made.scale_down.select == "Min"


def test_without_a_peak_bounds_stay() -> None:
    spec = SPEC.replace(autoscale=Autoscale(min=2, max=7, target=4))
    made = planned_spec(spec, plan(capacity(50.0), spec, Demand())).autoscale
    assert made is not None and (made.min, made.max) == (2, 7) and made.target != 4
    assert planned_spec(SPEC, plan(capacity(50.0), SPEC, Demand())).autoscale is None


def test_resources_are_what_was_used() -> None:
    spec = SPEC.replace(resources=Resources(cpu="100m", cpu_limit="300m", memory="1Gi", memory_limit="2Gi"))
    probes = (probe(40.0, cpu=0.2), probe(45.0, cpu=0.225))
    found = plan(capacity(50.0, probes=probes, memory=200 * 2**20), spec, Demand())
    assert found.resources == Resources(cpu="250m", cpu_limit="300m", memory="256Mi", memory_limit="2Gi")
    assert found.notes == ()
    idle = plan(capacity(50.0, probes=(probe(40.0, cpu=0.1),), memory=1.0), spec, Demand())
    assert "uses 0.12 of the 0.3 CPUs of its limit: what holds it back is not that limit" in idle.notes[0]
    full = plan(capacity(50.0, probes=(probe(40.0, cpu=0.29),), memory=1.0), spec, Demand())
    assert full.resources is not None and full.resources.cpu == "300m"  # no more than the limit
    assert "CPU holds the pod back" in full.notes[0]


def test_vpa_keeps_what_is_its_own() -> None:
    spec = SPEC.replace(vertical=Vertical(mode="Initial"))
    found = plan(capacity(50.0, memory=1e8), spec, Demand())
    assert found.resources is None and "vertical autoscaler" in found.notes[0]


def test_gpus_and_their_price() -> None:
    spec = SPEC.replace(gpu=Gpu(2))
    found = plan(capacity(50.0), spec, Demand(peak=180, pod_hour_price=0.4, gpu_hour_price=1.0))
    assert found.replicas is not None and found.gpus == 2 * found.replicas.max
    assert found.cost == pytest.approx(2.4 / (40 * 3600) * 1e6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"peak": 0}, "peak is 0"),
        ({"peak": -1}, "peak is -1"),
        ({"peak": float("nan")}, "peak is nan"),
        ({"ramp": 0}, "ramp is 0"),
        ({"headroom": 1}, "headroom is 1"),
        ({"metric": "cpu"}, "metric is 'cpu'"),
        ({"pod_hour_price": -0.1}, "pod_hour_price is -0.1"),
        ({"gpu_hour_price": float("inf")}, "gpu_hour_price is inf"),
    ],
)
def test_a_demand_that_is_none_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Demand(**wrong)  # type: ignore[arg-type]


def test_more_pods_than_an_autoscaler_takes_are_refused() -> None:
    found = plan(capacity(1.0), SPEC, Demand(peak=4_000))
    with pytest.raises(SpecError, match="max"):
        planned_spec(SPEC, found)


def test_the_sentences_say_the_numbers() -> None:
    measured = capacity(50.0, checks=(probe(45.0), probe(60.0, held=False)))
    demand = Demand(peak=180, pod_hour_price=0.4)
    text = " ".join(
        [answer_words("iris", measured), *plan_words(measured, plan(measured, SPEC, demand), demand)]
    )
    for words in (
        "One pod of iris holds 50 requests/s within p99 <= 100 ms and errors <= 1 %",
        "90 % interval 48 to 52, 3 probes",
        "requests_in_flight at 0.8 a pod leaves 20 % of that rate free",
        "takes 5 pods, so at most 5: if one is lost, the others get 45/s each, which they hold",
        "31 s (10 s until the metric follows, 15 s the autoscaler, 6 s the start of a pod)",
        "A million requests cost 2.78",
    ):
        assert words in text, text
    assert confirmed(measured) is True
    assert check_words(measured) == (
        "Checked: at 0.9 × (45/s) it held (p99 80 ms), at 1.2 × (60/s) it broke (p99 400 ms, errors 0 %)."
    )


def test_a_check_that_goes_otherwise_is_told() -> None:
    measured = capacity(50.0, checks=(probe(45.0), probe(60.0)))
    assert confirmed(measured) is False
    assert "That is not what the answer promises" in check_words(measured)
    assert confirmed(capacity(50.0)) is None and check_words(capacity(50.0)) == ""


def test_a_generator_that_is_late_is_told() -> None:
    assert doubts(capacity(50.0)) == []
    late = capacity(50.0, probes=(probe(45.0, lag=0.02), probe(55.0, held=False, lag=0.5)))
    assert "up to 20 ms late" in doubts(late)[0]


def test_a_pod_that_holds_nothing_is_told() -> None:
    measured = capacity(50.0, estimate=None)
    assert "does not hold p99 <= 100 ms and errors <= 1 % even at 2.5 requests/s" in answer_words(
        "iris", measured
    )
    with pytest.raises(ValueError, match="holds no rate"):
        plan(measured, SPEC, Demand())


def test_promises_in_words() -> None:
    assert promise_words(Slo(p50="20ms", p99="2s", errors=0)) == "p50 <= 20 ms, p99 <= 2 s and errors <= 0 %"
    assert promise_words(Slo(errors=0.01)) == "errors <= 1 %"
    assert promise_words(SLO) == "p99 <= 100 ms and errors <= 1 %"
