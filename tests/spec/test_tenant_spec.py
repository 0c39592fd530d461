"""What a tenant may be declared as."""

from __future__ import annotations

from typing import Any

import pytest

from mlk8s.errors import SpecError
from mlk8s.spec.tenant import Allow, ContainerLimits, Tenant


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "kube-system"}, "the cluster's own"),
        ({"name": "Team"}, "DNS-1123"),
        ({"quota": {"pod": "3"}}, "did you mean 'pods'"),
        ({"quota": {"pods": "1.5"}}, "whole number"),
        ({"quota": {"requests.cpu": "lots"}}, "quantity"),
        ({"pod_security": "strict"}, "restricted"),
        ({"pod_security_version": "1.30"}, "pod_security_version"),
        ({"groups": ["system:masters"]}, "the cluster's own"),
        ({"users": ["ada", "ada"]}, "given twice"),
        ({"users": ["default"]}, "'default'"),
    ],
)
def test_a_tenant_that_cannot_work_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Tenant(**{"name": "team", **values})


def test_further_quotas_are_those_of_kubernetes() -> None:
    fast = "fast.storageclass.storage.k8s.io/requests.storage"
    quota = {"count/deployments.apps": "5", "requests.nvidia.com/gpu": "2", fast: "1Ti"}
    assert Tenant(name="team", quota=quota).quota == quota


def test_limits_are_in_order() -> None:
    with pytest.raises(SpecError, match="default 256Mi is above max 64Mi"):
        ContainerLimits(max={"memory": "64Mi"})
    with pytest.raises(SpecError, match="'disk'"):
        ContainerLimits(max={"disk": "1Gi"})


def test_exceptions_name_namespaces_and_networks() -> None:
    with pytest.raises(SpecError, match=r"to_networks\.0"):
        Allow(to_networks=("example.com",))
    with pytest.raises(SpecError, match=r"from_namespaces\.0"):
        Allow(from_namespaces=("Not A Name",))
