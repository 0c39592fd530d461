"""The two colours' objects: who is selected, what the idle colour brings, what needs no second colour."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cases import FACTS

from mlk8s.render.bluegreen import (
    PREVIEW_HEADER,
    Colour,
    by_hand,
    identity,
    idle_size,
    live_colour,
    other,
    preview_address,
    preview_rule,
    render_idle,
    same_pods,
)
from mlk8s.render.service import render_service
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.metric import Metric
from mlk8s.spec.route import Route
from mlk8s.spec.service import ModelService

SPEC = ModelService(name="iris", model="s3://models/iris/1", replicas=2, strategy="BlueGreen")
DEPTH = Metric(name="depth", series="depth", kind="object", of="Deployment")
SCALED = ModelService(
    name="iris", model="s3://models/iris/1", strategy="BlueGreen",
    autoscale=Autoscale(min=2, max=5, metric=DEPTH, target=4),
)  # fmt: skip


def one(manifests: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [
        item for item in manifests if item["kind"] == kind and name in (None, item["metadata"]["name"])
    ]
    return found


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_the_services_selector_is_the_live_colour_and_selects_nobody_else(colour: Colour) -> None:
    made = render_service(SPEC, FACTS, identity("iris", colour).track)
    service, deployment = one(made, "Service"), one(made, "Deployment")
    assert service["metadata"]["name"] == "iris"  # one way in, whatever the colour
    assert deployment["metadata"]["name"] == {"blue": "iris", "green": "iris-green"}[colour]
    assert live_colour(service) == colour
    wanted = service["spec"]["selector"].items()
    assert wanted <= deployment["spec"]["template"]["metadata"]["labels"].items()
    elsewhere = one(render_service(SPEC, FACTS, identity("iris", other(colour)).track), "Deployment")
    assert not wanted <= elsewhere["spec"]["template"]["metadata"]["labels"].items()


def test_a_service_without_colours_is_blue() -> None:
    assert live_colour({"metadata": {"name": "iris"}, "spec": {"selector": {"app": "other"}}}) == "blue"
    assert live_colour({"metadata": {"name": "iris"}, "spec": {}}) == "blue"


def test_the_idle_colour_has_pods_a_budget_and_a_preview_and_no_way_in() -> None:
    made = render_idle(SPEC, FACTS, "green", 3)
    assert {(item["kind"], item["metadata"]["name"]) for item in made if item["kind"] != "ConfigMap"} == {
        ("NetworkPolicy", "iris"), ("ServiceAccount", "iris-green"), ("PodDisruptionBudget", "iris-green"),
        ("Deployment", "iris-green"), ("Service", "iris-preview"),
    }  # fmt: skip
    deployment, preview = one(made, "Deployment"), one(made, "Service")
    assert deployment["spec"]["replicas"] == 3
    assert preview["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert preview["spec"]["type"] == "ClusterIP"
    assert one(made, "PodDisruptionBudget")["spec"]["selector"] == deployment["spec"]["selector"]


def test_a_nodeport_of_the_service_is_not_taken_by_its_preview() -> None:
    spec = SPEC.replace(service_type="NodePort")
    assert one(render_idle(spec, FACTS, "green", 2), "Service")["spec"]["type"] == "ClusterIP"


def test_the_command_that_switches_by_hand_makes_the_selector_of_that_colour() -> None:
    made = {
        colour: one(render_service(SPEC, FACTS, identity("iris", colour).track), "Service")
        for colour in ("blue", "green")
    }
    patch = json.loads(by_hand("iris", "ml", "blue").partition("'")[2].rpartition("'")[0])
    selector = {**made["green"]["spec"]["selector"], **patch["spec"]["selector"]}
    assert selector == made["blue"]["spec"]["selector"]


def test_the_autoscaler_follows_the_live_colour_down_to_what_it_measures() -> None:
    found = one(render_service(SCALED, FACTS, "green"), "HorizontalPodAutoscaler")
    assert found["metadata"]["name"] == found["spec"]["scaleTargetRef"]["name"] == "iris-green"
    (metric,) = found["spec"]["metrics"]
    assert metric["object"]["describedObject"]["name"] == "iris-green"
    assert not [item for item in render_idle(SCALED, FACTS, "blue", 2) if "Autoscaler" in item["kind"]]


@pytest.mark.parametrize(
    ("spec", "live", "size"), [(SPEC, 1, 2), (SPEC, 4, 4), (SCALED, 1, 2), (SCALED, 5, 5)]
)
def test_the_idle_colour_can_carry_what_the_live_one_carries(
    spec: ModelService, live: int, size: int
) -> None:
    assert idle_size(spec, live) == size


def test_the_preview_is_a_rule_of_weight_zero_and_a_header_where_there_is_an_ingress() -> None:
    rule = preview_rule(SPEC, FACTS)
    assert rule is not None
    prefix = "nginx.ingress.kubernetes.io/canary"
    assert rule["metadata"]["annotations"] == {
        prefix: "true", f"{prefix}-weight": "0", f"{prefix}-by-header": PREVIEW_HEADER,
    }  # fmt: skip
    (path,) = rule["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == "iris-preview"
    assert preview_rule(SPEC.replace(route=None), FACTS) is None
    assert preview_rule(SPEC.replace(route=Route(gateway="shop/edge")), FACTS) is None
    assert preview_address(SPEC, FACTS).startswith("http://iris-preview.team.svc:8080/")


def test_only_what_changes_the_pods_needs_a_second_colour() -> None:
    assert same_pods(SPEC, SPEC.replace(replicas=5), FACTS)
    assert same_pods(SPEC, SCALED, FACTS)
    assert same_pods(SPEC, SPEC.replace(retain=5), FACTS)
    assert not same_pods(SPEC, SPEC.replace(model="s3://models/iris/2"), FACTS)
    assert not same_pods(SPEC, SPEC.replace(max_in_flight=7), FACTS)
    assert not same_pods(SPEC, SPEC.replace(env={"A": "b"}), FACTS)
