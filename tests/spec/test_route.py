"""What a way in and a type of Service may be."""

from __future__ import annotations

from typing import Any

import pytest

from mlk8s.errors import SpecError
from mlk8s.spec.route import ExternalName, PathRule, Route, ServiceType
from mlk8s.spec.service import ModelService


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls": "secret"}, "tls is given without host"),
        ({"redirect": True}, "redirect is given without tls"),
        ({"tls": "a", "host": "a.example", "gateway": "x/y"}, "certificate at the Gateway's listener"),
        ({"listener": "web"}, "listener is given without gateway"),
        ({"gateway": "x"}, "NAMESPACE/NAME"),
        ({"host": "10.0.0.1"}, "not an IP address"),
        ({"host": "UPPER.example"}, "expected a DNS name such as iris.example.com"),
        ({"host": "https://iris.example.com"}, "without https:// and port"),
        ({"paths": [{"path": "no-slash"}]}, "absolute URL path"),
        ({"paths": [{"path": "/a"}, {"path": "/a"}]}, "given twice"),
    ],
)
def test_a_route_that_cannot_work_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Route(**values)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("NodePort", {"node_port": 80}, "node_port.*30000"),
        ("NodePort", {"node_port": 32768}, "node_port.*32767"),
        ("ClusterIP", {"node_port": 30080}, "node_port is given for a ClusterIP"),
        ("Headless", {"external_traffic_policy": "Local"}, "external_traffic_policy is given for a Headless"),
        ("NodePort", {"load_balancer_class": "a.example/b"}, "load_balancer_class is given for a NodePort"),
        ("LoadBalancer", {"load_balancer_class": "no-domain"}, "load_balancer_class"),
        ("LoadBalancer", {"source_ranges": ["192.0.2.1/24"]}, "source_ranges.0.*CIDR"),
        ("ClusterIP", {"source_ranges": ["192.0.2.0/24"]}, "source_ranges is given for a ClusterIP"),
        (
            "NodePort",
            {"source_ranges": ["192.0.2.0/24"], "external_traffic_policy": "Cluster"},
            "would see the nodes' addresses",
        ),
        ("Nodeport", {}, "ClusterIP"),
    ],
)
def test_a_service_type_that_cannot_work_is_refused(kind: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        ServiceType(kind, **values)


def test_a_plain_string_is_a_service_type_and_a_stored_spec_comes_back() -> None:
    route = Route(host="*.example.com", tls="secret", paths=(PathRule(path="/v2", type="Exact"),))
    spec = ModelService(name="a", model="s3://models/a/1", service_type="NodePort", route=route)
    assert spec.service_type == ServiceType("NodePort")
    assert ModelService(**spec.model_dump(mode="json", exclude={"replicas"})) == spec.replace()
    plain = ModelService(name="a", model="s3://models/a/1")
    assert ModelService(**plain.model_dump(mode="json")).route == Route()


def test_an_external_name_is_a_dns_name() -> None:
    for host in ("10.0.0.1", "*.example.com", "under_score.example"):
        with pytest.raises(SpecError, match="host"):
            ExternalName(name="a", host=host)
