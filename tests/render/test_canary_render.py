"""The canary's objects: the same service twice, and one rule between them."""

from __future__ import annotations

from typing import Any

import pytest

from mlk8s.errors import SpecError
from mlk8s.render.canary import (
    GatewayRule,
    IngressRule,
    canary_spec,
    promoted_spec,
    render_canary,
    traffic_rule,
)
from mlk8s.render.facts import RenderFacts
from mlk8s.render.service import render_service
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.canary import Canary
from mlk8s.spec.service import ModelService, Route

FACTS = RenderFacts(
    namespace="shop",
    ingress_class="nginx",
    storage_endpoint="http://seaweedfs.mlk8s-system.svc:8333",
    server_image="localhost/mlk8s/server:0123456789ab",
    ingress_namespace="mlk8s-system",
    ingress_url="http://127.0.0.1:8080",
)
STABLE = ModelService(name="iris", model="s3://models/iris/1")
CANARY = Canary(model="s3://models/iris/2", header="X-Canary", replicas=1)
PREFIX = "nginx.ingress.kubernetes.io/canary"


def one(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [item for item in manifests if item["kind"] == kind]
    return found


def test_workload_is_the_services_own_with_another_model() -> None:
    rendered = render_canary(STABLE, CANARY, FACTS, weight=0)
    stable = one(render_service(STABLE, FACTS), "Deployment")
    canary = one(rendered, "Deployment")
    assert canary["metadata"]["name"] == "iris-canary"
    assert canary["spec"]["replicas"] == 1
    selector = canary["spec"]["selector"]["matchLabels"]
    assert selector != stable["spec"]["selector"]["matchLabels"]
    assert one(rendered, "Service")["spec"]["selector"] == selector
    assert canary["metadata"]["labels"]["mlk8s.dev/track"] == "canary"
    assert one(rendered, "ConfigMap")["data"]["MODEL_URL"] == "s3://models/iris/2"
    # The same name and prefix: a client cannot tell by the address which version answers.
    for key in ("MODEL_NAME", "BASE_PATH"):
        theirs = one(render_service(STABLE, FACTS), "ConfigMap")["data"][key]
        assert one(rendered, "ConfigMap")["data"][key] == theirs


def test_stable_service_never_selects_canary_pods() -> None:
    stable = one(render_service(STABLE, FACTS), "Service")["spec"]["selector"]
    pods = one(render_canary(STABLE, CANARY, FACTS, weight=0), "Deployment")["spec"]["template"]
    assert any(pods["metadata"]["labels"].get(key) != value for key, value in stable.items())


def test_policy_of_the_service_covers_canary_pods() -> None:
    wanted = one(render_service(STABLE, FACTS), "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    pods = one(render_canary(STABLE, CANARY, FACTS, weight=0), "Deployment")["spec"]["template"]
    assert wanted.items() <= pods["metadata"]["labels"].items()


def test_ingress_has_the_annotations_and_the_stable_rule() -> None:
    rendered = render_canary(STABLE, CANARY, FACTS, weight=25)
    assert rendered[-1]["kind"] == "Ingress", "the way is opened last"
    rule = rendered[-1]
    assert rule["metadata"]["annotations"] == {
        PREFIX: "true",
        f"{PREFIX}-weight": "25",
        f"{PREFIX}-by-header": "X-Canary",
    }
    stable = one(render_service(STABLE, FACTS), "Ingress")
    assert rule["spec"]["ingressClassName"] == stable["spec"]["ingressClassName"]
    ours, theirs = (item["spec"]["rules"][0]["http"]["paths"][0] for item in (rule, stable))
    # Controllers match a canary to its stable Ingress by host, path and path type.
    assert (ours["path"], ours["pathType"]) == (theirs["path"], theirs["pathType"])
    assert ours["backend"]["service"]["name"] == "iris-canary"
    assert IngressRule().weight(rule) == 25


def test_a_canary_without_a_header_can_still_be_checked() -> None:
    rule = render_canary(STABLE, Canary(model="s3://models/iris/2"), FACTS, weight=0)[-1]
    assert rule["metadata"]["annotations"][f"{PREFIX}-by-header"] == "X-Mlk8s-Canary"


def test_weight_of_an_ingress_that_is_no_canary() -> None:
    assert IngressRule().weight(one(render_service(STABLE, FACTS), "Ingress")) is None


def test_http_route_with_weights_and_exact_header() -> None:
    rule = GatewayRule("mlk8s-system/traefik")
    route = rule.split(STABLE, CANARY, FACTS, 30)
    always, never, shares = route["spec"]["rules"]
    header = {"type": "Exact", "name": "X-Canary"}
    path = {"type": "PathPrefix", "value": "/shop/iris"}
    assert always["matches"] == [{"path": path, "headers": [{**header, "value": "always"}]}]
    assert always["backendRefs"] == [{"name": "iris-canary", "port": 8080}]
    assert never["matches"] == [{"path": path, "headers": [{**header, "value": "never"}]}]
    assert never["backendRefs"] == [{"name": "iris", "port": 8080}]
    assert shares["backendRefs"] == [
        {"name": "iris", "port": 8080, "weight": 70},
        {"name": "iris-canary", "port": 8080, "weight": 30},
    ]
    assert route["spec"]["parentRefs"] == [{"namespace": "mlk8s-system", "name": "traefik"}]
    assert rule.weight(route) == 30


def test_http_route_without_a_canary_is_the_services_alone() -> None:
    rule = GatewayRule("mlk8s-system/traefik")
    route = rule.whole(STABLE.replace(route=Route(host="iris.example")), FACTS)
    assert route is not None
    (only,) = route["spec"]["rules"]
    assert only["backendRefs"] == [{"name": "iris", "port": 8080}]
    assert route["spec"]["hostnames"] == ["iris.example"]
    assert rule.weight(route) is None


def test_a_service_on_a_gateway_has_a_route_and_no_ingress() -> None:
    spec = STABLE.replace(route=Route(gateway="mlk8s-system/traefik"))
    kinds = [item["kind"] for item in render_service(spec, FACTS)]
    assert "HTTPRoute" in kinds and "Ingress" not in kinds
    assert isinstance(traffic_rule(spec), GatewayRule)
    assert isinstance(traffic_rule(STABLE), IngressRule)
    rendered = render_canary(spec, CANARY, FACTS, weight=10)
    assert rendered[-1]["kind"] == "HTTPRoute"
    assert rendered[-1]["metadata"]["name"] == "iris", "the service's own route, with two backends"


@pytest.mark.parametrize("wrong", [{"gateway": "traefik"}, {"gateway": "a/b", "ingress_class": "nginx"}])
def test_one_way_in(wrong: dict[str, str]) -> None:
    with pytest.raises(SpecError):
        Route(**wrong)


def test_gateway_must_be_named_with_its_namespace() -> None:
    with pytest.raises(ValueError, match="NAMESPACE/NAME"):
        GatewayRule("traefik").whole(STABLE, FACTS)


def test_canary_of_an_autoscaled_service_has_fixed_pods_and_promotion_keeps_the_autoscaler() -> None:
    scaled = ModelService(name="iris", model="s3://models/iris/1", autoscale=Autoscale(max=4, target=4))
    assert canary_spec(scaled, CANARY).autoscale is None
    assert canary_spec(scaled, CANARY).replicas == 1
    promoted = promoted_spec(scaled, CANARY.model, "sha256:" + "0" * 64)
    assert promoted.autoscale == scaled.autoscale
    assert promoted.model == "s3://models/iris/2"
