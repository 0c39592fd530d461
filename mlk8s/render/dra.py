"""GPUs by Dynamic Resource Allocation: a claim for each pod, which the scheduler meets with a device.

https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Mapping

from mlk8s.render.common import Manifest, digest, manifest
from mlk8s.spec.resources import Gpu

CLAIM = "gpu"
"""Name of the claim in the pod, and of its one request."""


def claim_templates(gpu: Gpu | None, owner: str, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
    """Return the ResourceClaimTemplate of a workload's pods; none for GPUs as an extended resource.

    Its spec cannot change, so its name ends with the hash of it.
    """
    if gpu is None or gpu.device_class is None:
        return []
    name = template_name(gpu, owner)
    return [
        manifest(
            "resource.k8s.io/v1", "ResourceClaimTemplate", name, namespace, labels, spec={"spec": _claim(gpu)}
        )
    ]


def template_name(gpu: Gpu, owner: str) -> str:
    """Return the name of a workload's ResourceClaimTemplate."""
    return f"{owner}-gpu-{digest(_claim(gpu))}"


def pod_claims(gpu: Gpu | None, owner: str) -> Manifest:
    """Return the pod's `resourceClaims`; empty for GPUs as an extended resource."""
    if gpu is None or gpu.device_class is None:
        return {}
    return {"resourceClaims": [{"name": CLAIM, "resourceClaimTemplateName": template_name(gpu, owner)}]}


def _claim(gpu: Gpu) -> Manifest:
    exactly: Manifest = {
        "deviceClassName": gpu.device_class,
        "allocationMode": "ExactCount",
        "count": gpu.count,
    }
    if gpu.selectors:
        exactly["selectors"] = [{"cel": {"expression": item}} for item in gpu.selectors]
    return {"devices": {"requests": [{"name": CLAIM, "exactly": exactly}]}}
