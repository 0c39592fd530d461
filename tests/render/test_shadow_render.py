"""A shadow's objects: its pods beside the service's, and a rule that copies predictions and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlk8s.render.common import Identity
from mlk8s.render.facts import RenderFacts
from mlk8s.render.service import render_service, service_policy
from mlk8s.render.shadow import match, mirror, shadow_workload
from mlk8s.spec.route import PathRule, Route
from mlk8s.spec.service import ModelService
from mlk8s.spec.shadow import Shadow

FACTS = RenderFacts(
    namespace="team", server_image="server:1", storage_endpoint="http://s3", ingress_url="http://127.0.0.1:8080"
)  # fmt: skip
SHADOW = Shadow(model="s3://models/iris/2", percent=30, max_body=4096)


def iris(**route: Any) -> ModelService:
    return ModelService(name="iris", model="s3://models/iris/1", replicas=2, route=Route(**route))


def objects(**route: Any) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in mirror(iris(**route), SHADOW, FACTS)}


def test_the_mirror_copies_from_the_service_to_the_shadow() -> None:
    found = objects()
    assert list(found) == ["TraefikService", "IngressRoute"], "what is named is there first"
    mirroring = found["TraefikService"]["spec"]["mirroring"]
    assert (mirroring["name"], mirroring["maxBodySize"]) == ("iris", 4096)
    assert mirroring["mirrors"] == [{"name": "iris-shadow", "port": 8080, "percent": 30}]
    (rule,) = found["IngressRoute"]["spec"]["routes"]
    assert rule["services"] == [{"kind": "TraefikService", "name": "iris-shadow"}]
    assert found["IngressRoute"]["spec"]["entryPoints"] == ["web"]
    assert "tls" not in found["IngressRoute"]["spec"]


def test_no_object_is_the_services_own_and_its_policy_selects_the_pods() -> None:
    own = {(item["kind"], item["metadata"]["name"]) for item in render_service(iris(), FACTS)}
    shadow = [*shadow_workload(iris(), SHADOW, FACTS), *mirror(iris(), SHADOW, FACTS)]
    assert not own & {(item["kind"], item["metadata"]["name"]) for item in shadow}
    (pods,) = [item for item in shadow if item["kind"] == "Deployment"]
    labels = pods["spec"]["template"]["metadata"]["labels"]
    selected = service_policy(iris(), FACTS)["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= labels.items()
    assert not Identity("iris").selector.items() <= labels.items(), (
        "the service's Service must not lead to it"
    )
    assert pods["spec"]["replicas"] == 1


def test_with_tls_the_mirror_is_behind_it() -> None:
    spec = objects(host="iris.example.com", tls="certificate")["IngressRoute"]["spec"]
    assert (spec["entryPoints"], spec["tls"]) == (["websecure"], {"secretName": "certificate"})


def test_both_ways_are_copied_where_http_stays_open() -> None:
    spec = iris(host="iris.example.com", tls="certificate", redirect=False)
    secure, plain = [item for item in mirror(spec, SHADOW, FACTS) if item["kind"] == "IngressRoute"]
    assert (plain["spec"]["entryPoints"], plain["spec"].get("tls")) == (["web"], None)
    assert secure["spec"]["routes"] == plain["spec"]["routes"]
    assert secure["metadata"]["name"] != plain["metadata"]["name"]


@pytest.mark.parametrize(
    ("route", "path", "matched"),
    [
        ({}, "/team/iris/v2/models/iris/infer", True),
        ({}, "/team/iris/v2/models/iris/versions/1/infer", True),
        ({}, "/team/iris/v2/models/iris", False),
        ({}, "/team/iris/v2/models/iris/inferx", False),
        ({}, "/team/irisx/v2/models/iris/infer", False),
        ({}, "/teamxiris/v2/models/iris/infer", False),
        ({"path": "/"}, "/v2/models/iris/infer", True),
        ({"path": "/a.b"}, "/a.b/v2/models/iris/infer", True),
        ({"path": "/a.b"}, "/axb/v2/models/iris/infer", False),
        ({"paths": (PathRule(path="/v2/models"),)}, "/team/iris/v2/models/iris/infer", True),
        ({"paths": (PathRule(path="/v2/health"),)}, "/team/iris/v2/models/iris/infer", False),
        ({"paths": (PathRule(path="/v2/mod"),)}, "/team/iris/v2/models/iris/infer", False),
        (
            {"paths": (PathRule(path="/v2/models/iris/infer", type="Exact"),)},
            "/team/iris/v2/models/iris/infer",
            True,
        ),
    ],
)
def test_only_predictions_that_the_route_lets_in_are_matched(
    route: dict[str, Any], path: str, matched: bool
) -> None:
    service = iris(**route)
    assert service.route is not None
    assert fits(match(service, service.route, FACTS), path) is matched


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("iris.example.com", "Host(`iris.example.com`) && "),
        ("*.example.com", r"HostRegexp(`^[^.]+\.example\.com$`) && "),
        (None, "Method(`POST`) && "),
    ],
)
def test_the_host_is_the_routes(host: str | None, rule: str) -> None:
    service = iris(host=host)
    assert service.route is not None
    assert match(service, service.route, FACTS).startswith(rule)


def fits(rule: str, path: str) -> bool:
    """Read a rule's path matchers as Traefik does: all of the `&&` parts, one of the `||` in the last."""
    results = []
    for part in rule.split(" && "):
        matchers = re.findall(r"(PathRegexp|Path)\(`([^`]*)`\)", part)
        if matchers:
            results.append(
                any(
                    re.search(text, path) if kind == "PathRegexp" else text == path for kind, text in matchers
                )
            )
    return bool(results) and all(results)
