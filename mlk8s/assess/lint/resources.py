"""What a pod asks for and where it ends: CPU, memory, disk, devices."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Container, Pod, amount, entries, mapping

Found = Iterator[tuple[Keys, str]]


@rule(
    "cpu-request", "error", "container",
    "A container says how much CPU it needs, so that it is placed where there is some. No CPU limit is asked for: "
    "it slows a pod down on an idle node.",
    fix="set resources.requests.cpu, such as 250m",
    peers="kube-linter unset-cpu-requirements; kube-score container-resources; Polaris cpuRequestsMissing, cpuLimitsMissing; kubesec RequestsCPU, LimitsCPU",
)  # fmt: skip
def _cpu(item: Container) -> Found:
    resources = mapping(item.body, "resources")
    # A limit without a request is the request, too.
    if "cpu" not in mapping(resources, "requests") and "cpu" not in mapping(resources, "limits"):
        yield ("resources", "requests", "cpu"), "it asks for no CPU"


@rule(
    "memory-limits", "error", "container",
    "A container has a memory request and a memory limit: without, one leak takes its neighbours along.",
    fix="set resources.requests.memory and resources.limits.memory, to the same value unless it varies much",
    peers="kube-linter unset-memory-requirements; kube-score container-resources; Polaris memoryRequestsMissing, memoryLimitsMissing; kubesec RequestsMemory, LimitsMemory",
)  # fmt: skip
def _memory(item: Container) -> Found:
    resources = mapping(item.body, "resources")
    if "memory" not in mapping(resources, "limits"):
        yield ("resources", "limits", "memory"), "it has no memory limit"
        if "memory" not in mapping(resources, "requests"):
            yield ("resources", "requests", "memory"), "it asks for no memory"


@rule(
    "limits-below-requests", "error", "container",
    "Requests and limits are quantities, and no limit is below its request.",
    fix="write quantities such as 250m, 1, 512Mi; raise the limit or lower the request",
    peers="kube-score container-resource-requests-equal-limits",
)  # fmt: skip
def _order(item: Container) -> Found:
    resources = mapping(item.body, "resources")
    requests, limits = mapping(resources, "requests"), mapping(resources, "limits")
    for part, values in (("requests", requests), ("limits", limits)):
        for name, value in values.items():
            if amount(str(value)) is None:
                yield ("resources", part, name), f"{value!r} is not a quantity"
    for name, value in limits.items():
        limit, request = amount(str(value)), amount(str(requests.get(name, value)))
        if limit is not None and request is not None and limit < request:
            yield (
                ("resources", "limits", name),
                f"the limit {value} of {name} is below the request {requests[name]}",
            )
        elif "/" in name and limit != request:
            yield (
                ("resources", "limits", name),
                f"{name} cannot be shared: limit {value}, request {requests[name]}",
            )


@rule(
    "ephemeral-storage", "warning", "container",
    "Local disk is bounded. Not asked where nothing can be written but volumes that have a limit of their own.",
    fix="set resources.requests and resources.limits of ephemeral-storage, or make the image read-only",
    peers="kube-score container-ephemeral-storage-request-and-limit",
)  # fmt: skip
def _disk(item: Container) -> Found:
    writes = item.security.get("readOnlyRootFilesystem") is not True
    if writes and "ephemeral-storage" not in mapping(item.body, "resources", "limits"):
        yield ("resources", "limits", "ephemeral-storage"), "it can fill the node's disk"


@rule(
    "empty-dir-limit", "warning", "pod",
    "A scratch volume has a size limit.",
    fix="set emptyDir.sizeLimit",
    peers="kube-score container-ephemeral-storage-request-and-limit",
)  # fmt: skip
def _scratch(pod: Pod) -> Found:
    for i, volume in pod.volumes():
        scratch = volume.get("emptyDir")
        if "emptyDir" in volume and (not isinstance(scratch, dict) or not scratch.get("sizeLimit")):
            yield (
                ("volumes", i, "emptyDir", "sizeLimit"),
                f"the scratch volume {volume.get('name')} has no size limit",
            )


@rule(
    "node-name", "warning", "pod",
    "The scheduler chooses the node: nodeName goes past resources, taints and quotas.",
    fix="use nodeSelector or affinity",
)  # fmt: skip
def _node(pod: Pod) -> Found:
    if pod.spec.get("nodeName") and not pod.obj.owned and "uid" not in pod.obj.metadata:
        yield ("nodeName",), f"the pod is nailed to node {pod.spec['nodeName']}"


@rule(
    "tolerates-all", "warning", "pod",
    "Only a DaemonSet tolerates every taint: others would run on nodes that are broken or meant for somebody else.",
    fix="name the key of the taint in the toleration",
)  # fmt: skip
def _tolerations(pod: Pod) -> Found:
    if pod.obj.kind == "DaemonSet":
        return
    for i, item in entries(pod.spec, "tolerations"):
        if item.get("operator") == "Exists" and not item.get("key"):
            yield ("tolerations", i), "it tolerates every taint"
