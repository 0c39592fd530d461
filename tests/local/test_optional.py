"""The optional parts' manifests and certificates."""

from __future__ import annotations

import pytest

from mlk8s.assess.lint import lint
from mlk8s.errors import UsageError
from mlk8s.local import images, pins, pki
from mlk8s.local.platform_manifests import fit, load

PARTS = sorted(pins.OPTIONAL)


@pytest.mark.parametrize("part", PARTS)
def test_manifests_have_no_error(part: str) -> None:
    assert [item for item in lint(load(f"optional/{part}")) if item.severity == "error"] == []


@pytest.mark.parametrize("part", PARTS)
def test_every_workload_has_an_image_of_our_own_and_a_program(part: str) -> None:
    workloads = {
        item["metadata"]["name"] for item in load(f"optional/{part}") if item["kind"] == "Deployment"
    }
    assert workloads == set(pins.OPTIONAL_WORKLOADS[part])
    assert workloads <= set(images.STATIC_IMAGES)
    assert workloads <= set(pins.PARTS[part].programs)
    ours = {name: f"localhost/mlk8s/{name}:1" for name in workloads}
    for item in fit(load(f"optional/{part}"), images=ours):
        if item["kind"] == "Deployment":
            (container,) = item["spec"]["template"]["spec"]["containers"]
            assert container["image"] == ours[item["metadata"]["name"]]


def test_a_certificate_is_fresh_for_its_names_only() -> None:
    names = ("a.mlk8s-system.svc", "b.mlk8s-system.svc")
    made = pki.serving("keda-certificates", names)
    assert sorted(made) == ["ca.crt", "tls.crt", "tls.key"]
    assert pki.is_fresh(made["tls.crt"], names)
    assert not pki.is_fresh(made["tls.crt"], names[:1])
    assert not pki.is_fresh(b"", names)


def test_a_part_that_is_not_there_is_told() -> None:
    pins.check_optional(["keda", "vpa"])
    with pytest.raises(UsageError, match="no optional part 'istio'"):
        pins.check_optional(["keda", "istio"])
