"""What one pod may use: CPU, memory, GPUs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import _LABEL_KEY, Labels, Quantity, parse_quantity
from mlk8s.spec.volume import ObjectName


def _resource_name(value: str) -> str:
    if "/" not in value or not _LABEL_KEY.fullmatch(value):
        raise ValueError("expected an extended resource name with a domain, such as 'nvidia.com/gpu'")
    return value


class Resources(Spec):
    """CPU and memory of one container.

    Memory's limit defaults to its request: a pod that is killed for memory is killed where it was sized, not
    when its neighbours happen to be busy.

    Attributes:
        cpu: request in cores ('250m' is a quarter).
        cpu_limit: limit in cores; None leaves the CPU unlimited.
        memory: request in bytes ('512Mi').
        memory_limit: limit in bytes; None means the request.
        ephemeral_storage: request and limit of local disk in bytes.
    """

    cpu: Quantity = "250m"
    cpu_limit: Quantity | None = "1"
    memory: Quantity = "384Mi"
    memory_limit: Quantity | None = None
    ephemeral_storage: Quantity = "256Mi"

    @model_validator(mode="after")
    def _limits_above_requests(self) -> Resources:
        for name, request, limit in (
            ("cpu_limit", self.cpu, self.cpu_limit),
            ("memory_limit", self.memory, self.memory_limit),
        ):
            if limit is not None and parse_quantity(limit) < parse_quantity(request):
                raise ValueError(f"{name} {limit} is below the request {request}; expected limit >= request")
        return self


class Gpu(Spec):
    """GPUs of one pod, as an extended resource, with the toleration and node selector that lead to them.

    Attributes:
        count: whole GPUs, 1 or more; request equals limit, as Kubernetes demands.
        resource: the name the device plugin advertises.
        node_selector: labels of the nodes that have them.
        tolerate: tolerate the taint of the resource's name that GPU nodes usually carry.
        dra: ask by Dynamic Resource Allocation (resource.k8s.io/v1) instead: a ResourceClaimTemplate, and no
            extended resource.
        device_class: the DeviceClass then asked for, gpu.nvidia.com unless said otherwise; implies `dra`.
        selectors: CEL expressions that a device must fulfil, such as
            `device.attributes["gpu.nvidia.com"].productName.matches("H100")`; with `dra` only.
    """

    count: Annotated[int, Field(ge=1, le=64, strict=True)] = 1
    resource: Annotated[str, AfterValidator(_resource_name)] = "nvidia.com/gpu"
    node_selector: Labels = {"nvidia.com/gpu.present": "true"}
    tolerate: bool = True
    dra: bool = False
    device_class: ObjectName | None = None
    selectors: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=10_240)], ...], Field(max_length=32)
    ] = ()

    def __init__(self, count: int = 1, **values: Any) -> None:
        if values.get("device_class") is not None and "dra" not in values:
            values["dra"] = True
        if values.get("dra") is True:
            values = {"device_class": "gpu.nvidia.com", "node_selector": {}, **values}
        super().__init__(count=count, **values)

    @model_validator(mode="after")
    def _one_form(self) -> Gpu:
        if not self.dra and (self.device_class is not None or self.selectors):
            raise ValueError("device_class and selectors are for dra=True; expected one form of asking")
        if self.dra and "resource" in self.model_fields_set and self.resource != "nvidia.com/gpu":
            raise ValueError(
                f"resource {self.resource!r} is an extended resource, and dra asks for a device class; "
                "expected one form of asking"
            )
        return self
