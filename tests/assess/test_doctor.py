"""Facts of a cluster, and the line that each gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlk8s.assess.doctor import Finding, assess, failed
from mlk8s.assess.doctor_facts import (
    ApiFacts,
    ClusterFacts,
    GatewayFacts,
    GpuFacts,
    IngressFacts,
    NodeFacts,
    PolicyFacts,
    ProbeFacts,
    SecurityFacts,
    StorageFacts,
    Unknown,
)

SERVED = ApiFacts("mlk8s-system/prometheus-adapter", True)
GOOD = ClusterFacts(
    version="v1.35.4",
    namespace="models",
    namespace_found=True,
    missing=(),
    nodes=(NodeFacts("a", True, "", clock_lag=3.0),),
    ingress=IngressFacts("nginx", True, "class 'nginx': Traefik 3.7.15 honours canary annotations"),
    gateway=GatewayFacts(("gateway.networking.k8s.io/v1",), ("traefik (traefik.io/gateway-controller)",)),
    apis={"metrics.k8s.io": SERVED, "custom.metrics.k8s.io": SERVED},
    gpus=(GpuFacts("nvidia.com/gpu", 2, 1, True),),
    storage_classes={"local": True, "slow": False},
    policy=PolicyFacts("cilium", True),
    storage=StorageFacts("http://s3.svc:8333", "http://127.0.0.1:8081"),
    security=SecurityFacts("restricted", True, None),
    platform={
        "ingress-url": "http://127.0.0.1:8080",
        "s3-endpoint": "http://s3.svc:8333",
        "server-image": "server:1",
        "pipeline-image": "pipeline:1",
    },
    clock=0.3,
)
CHECKS = (
    "Kubernetes",
    "namespace",
    "permissions",
    "nodes",
    "clock",
    "ingress",
    "Gateway API",
    "metrics.k8s.io",
    "custom.metrics.k8s.io",
    "GPU",
    "StorageClass",
    "NetworkPolicy",
    "Pod Security",
    "platform",
    "object storage",
)


def of(check: str, facts: ClusterFacts) -> list[Finding]:
    return [item for item in assess(facts) if item.check == check]


def test_a_cluster_that_has_everything_is_ok_and_every_check_has_a_line() -> None:
    findings = assess(GOOD)
    assert [item.check for item in findings] == list(CHECKS)
    assert {item.status for item in findings} == {"ok"}
    assert not failed(findings)
    assert "simulated" in of("GPU", GOOD)[0].found and "1 of them allocated" in of("GPU", GOOD)[0].found


@pytest.mark.parametrize(
    ("field", "value", "check", "status", "words"),
    [
        ("version", "v1.27.1", "Kubernetes", "fail", "v1.27.1"),
        ("version", "v0.0.0-master", "Kubernetes", "unknown", "tells nothing"),
        ("namespace_found", False, "namespace", "fail", "not there"),
        ("missing", ("create deployments.apps",), "permissions", "fail", "create deployments.apps"),
        ("nodes", (), "nodes", "fail", "none of 0"),
        ("clock", -40.0, "clock", "warn", "40 s behind"),
        ("clock", 40.0, "clock", "warn", "40 s ahead"),
        (
            "ingress",
            IngressFacts(None, False, "there is no IngressClass 'x'"),
            "ingress",
            "fail",
            "no IngressClass",
        ),
        ("ingress", IngressFacts(None, None, "may not be read"), "ingress", "unknown", "may not be read"),
        ("ingress", IngressFacts("kong", False, "Kong ignores them"), "ingress", "warn", "ignores"),
        ("ingress", IngressFacts("nginx", None, "cannot be told"), "ingress", "unknown", "cannot be told"),
        ("gateway", GatewayFacts((), ()), "Gateway API", "ok", "not installed"),
        ("gateway", GatewayFacts(("v1",), ()), "Gateway API", "warn", "no accepted GatewayClass"),
        ("apis", {"metrics.k8s.io": SERVED}, "custom.metrics.k8s.io", "warn", "requests_in_flight"),
        (
            "apis",
            {"metrics.k8s.io": ApiFacts("a/b", False, "no endpoints")},
            "metrics.k8s.io",
            "warn",
            "no endpoints",
        ),
        ("gpus", (), "GPU", "ok", "none"),
        ("storage_classes", {"a": False}, "StorageClass", "warn", "no default"),
        ("storage_classes", {"a": True, "b": True}, "StorageClass", "warn", "2 defaults"),
        ("policy", PolicyFacts("kube-flannel", False), "NetworkPolicy", "warn", "does not enforce"),
        ("policy", PolicyFacts(None, None), "NetworkPolicy", "unknown", "no agent"),
        (
            "policy",
            PolicyFacts("cilium", True, Unknown("ErrImagePull")),
            "NetworkPolicy",
            "unknown",
            "ErrImagePull",
        ),
        ("security", SecurityFacts(None, False, None), "Pod Security", "warn", "would be admitted"),
        ("security", SecurityFacts("restricted", True, "no"), "Pod Security", "fail", "like ours is refused"),
        ("platform", None, "platform", "warn", "not there"),
        ("platform", {"ingress-url": "x"}, "platform", "warn", "server-image"),
        ("storage", StorageFacts(None, None), "object storage", "warn", "names none"),
        ("storage", StorageFacts("a", None), "object storage", "unknown", "no address"),
        ("storage", StorageFacts("a", "b", "refused"), "object storage", "fail", "refused"),
    ],
)
def test_what_is_missing_is_told(field: str, value: Any, check: str, status: str, words: str) -> None:
    facts = replace(GOOD, **{field: value})
    (finding,) = of(check, facts)
    assert (finding.status, words in finding.found) == (status, True), finding
    assert finding.do or status in ("ok", "unknown"), "it says nothing about what to do"
    others = [item for item in assess(facts) if item.check != check and item.status != "ok"]
    assert field == "apis" or not others
    assert failed([finding]) == (status == "fail")


@pytest.mark.parametrize(
    ("field", "checks"),
    [
        ("apis", 2),
        *(
            (name, 1)
            for name in (
                "namespace_found",
                "missing",
                "nodes",
                "ingress",
                "gateway",
                "gpus",
                "storage_classes",
                "policy",
                "storage",
                "security",
                "platform",
                "clock",
            )
        ),
    ],
)
def test_what_may_not_be_seen_is_unknown_with_its_reason(field: str, checks: int) -> None:
    findings = assess(replace(GOOD, **{field: Unknown("you may not look")}))
    unknown = [item for item in findings if item.status == "unknown"]
    assert [item.found for item in unknown] == ["you may not look"] * checks
    assert not failed(findings)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (NodeFacts("b", False, "kubelet stopped posting"), "kubelet stopped posting"),
        (NodeFacts("b", True, "", ("DiskPressure",)), "DiskPressure"),
        (NodeFacts("b", True, "", cordoned=True), "cordoned"),
        (NodeFacts("b", True, "", clock_lag=-90.0), "clock differs"),
        (NodeFacts("b", True, "", clock_lag=90.0), "clock differs"),
    ],
)
def test_a_node_in_trouble_is_a_warning_while_another_is_ready(node: NodeFacts, words: str) -> None:
    good = NodeFacts("a", True, "", clock_lag=11.0)
    (finding,) = of("nodes", replace(GOOD, nodes=(good, node)))
    assert finding.status == "warn" and words in finding.found
    alone = of("nodes", replace(GOOD, nodes=(node,)))
    unusable = not node.ready or node.cordoned
    assert ("fail" in [item.status for item in alone]) == unusable


@pytest.mark.parametrize(
    ("ingress", "egress", "statuses"),
    [(True, True, ["ok", "ok"]), (False, True, ["fail", "ok"]), (True, None, ["ok", "unknown"])],
)
def test_a_probe_tells_each_direction(ingress: bool, egress: bool | None, statuses: list[str]) -> None:
    found = of("NetworkPolicy", replace(GOOD, policy=PolicyFacts(None, None, ProbeFacts(ingress, egress))))
    assert [item.status for item in found] == statuses
