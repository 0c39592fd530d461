"""Services, routes and policies as they are rendered, where the cluster alone would not tell a mistake."""

from __future__ import annotations

from typing import Any

import pytest
from cases import FACTS, INSIDE, PLAIN

from mlk8s.assess.lint import lint
from mlk8s.render.canary import render_canary
from mlk8s.render.common import Manifest
from mlk8s.render.objects import render
from mlk8s.render.service import render_service
from mlk8s.spec.canary import Canary
from mlk8s.spec.route import ExternalName, PathRule, Route, ServiceType
from mlk8s.spec.service import ModelService
from mlk8s.spec.tenant import Allow, Tenant

EVERYBODY = [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]
RANGES = ("192.0.2.0/24",)


def one(manifests: list[Manifest], kind: str) -> dict[str, Any]:
    (found,) = [item for item in manifests if item["kind"] == kind]
    return dict(found["spec"])


@pytest.mark.parametrize(
    ("kind", "service", "callers"),
    [
        (ServiceType(), {"type": "ClusterIP"}, []),
        (ServiceType("Headless"), {"type": "ClusterIP", "clusterIP": "None"}, []),
        (ServiceType("NodePort"), {"type": "NodePort", "externalTrafficPolicy": "Cluster"}, EVERYBODY),
        (
            ServiceType("LoadBalancer", source_ranges=RANGES, load_balancer_class="example.com/lb"),
            {
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "loadBalancerClass": "example.com/lb",
                "loadBalancerSourceRanges": list(RANGES),
            },
            [{"ipBlock": {"cidr": RANGES[0]}}],
        ),
        (
            ServiceType("LoadBalancer", source_ranges=RANGES, external_traffic_policy="Cluster"),
            {
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Cluster",
                "loadBalancerSourceRanges": list(RANGES),
            },
            EVERYBODY,
        ),
    ],
)
def test_a_service_and_its_policy_agree(
    kind: ServiceType, service: dict[str, Any], callers: list[Manifest]
) -> None:
    manifests = render_service(INSIDE.replace(service_type=kind), FACTS)
    made = one(manifests, "Service")
    assert {key: made[key] for key in made if key not in ("selector", "ports")} == service
    (rule,) = one(manifests, "NetworkPolicy")["ingress"]
    assert [peer for peer in rule["from"] if "ipBlock" in peer] == callers
    assert lint(manifests) == []


def test_a_canarys_service_is_plain_whatever_the_services_is() -> None:
    stable = PLAIN.replace(service_type=ServiceType("NodePort", node_port=30123))
    manifests = render_canary(stable, Canary(model="s3://models/iris/2"), FACTS, weight=10)
    made = one(manifests, "Service")
    assert made["type"] == "ClusterIP" and "nodePort" not in made["ports"][0]


def test_certificate_and_paths_stand_in_the_ingress_and_in_a_canarys() -> None:
    paths = (PathRule(path="/v2/models"), PathRule(path="/v2/health/ready", type="Exact"))
    spec: ModelService = PLAIN.replace(route=Route(host="a.example", path="/iris", paths=paths, tls="a-tls"))
    for manifests in (
        render_service(spec, FACTS),
        render_canary(spec, Canary(model="s3://models/iris/2"), FACTS, weight=10),
    ):
        made = one(manifests, "Ingress")
        assert made["tls"] == [{"hosts": ["a.example"], "secretName": "a-tls"}]
        found = [(item["path"], item["pathType"]) for item in made["rules"][0]["http"]["paths"]]
        assert found == [("/iris/v2/models", "Prefix"), ("/iris/v2/health/ready", "Exact")]
        (ingress,) = [item for item in manifests if item["kind"] == "Ingress"]
        assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/ssl-redirect"] == "true"


def test_a_tenant_without_exceptions_is_closed() -> None:
    closed = Allow(inside=False, dns=False, ingress=False, prometheus=False, storage=False)
    policies = [
        item["spec"]
        for item in render(Tenant(name="team", allow=closed), FACTS)
        if item["kind"] == "NetworkPolicy"
    ]
    assert [policy.get("ingress", []) + policy.get("egress", []) for policy in policies] == [[], []]


def test_nothing_of_these_has_a_lint_finding() -> None:
    specs = (Tenant(name="team", image_pull_secrets=("registry",)), ExternalName(name="a", host="b.example"))
    assert [finding for spec in specs for finding in lint(render(spec, FACTS))] == []
    assert [item.rule for item in lint(render(Tenant(name="team", exec=True), FACTS))] == ["pod-exec"]
