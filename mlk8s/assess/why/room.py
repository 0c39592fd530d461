"""How much of a resource a pod asks for, and how much of it nodes have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from mlk8s.assess.observed import Object
from mlk8s.spec.quantity import parse_quantity

_ENDED = ("Succeeded", "Failed")


def requested(pod: Object, resource: str) -> Decimal:
    """Return what a pod takes of a node: the containers' sum, or the largest init container if that is more.

    Native sidecars count with the containers, and with every init container that starts after them
    (Kubernetes' documentation, "Resource sharing within containers").
    """
    spec = pod.get("spec", {})
    beside = largest = Decimal(0)
    for container in spec.get("initContainers") or ():
        one = _request(container, resource)
        if container.get("restartPolicy") == "Always":
            beside += one
        else:
            largest = max(largest, beside + one)
    whole = beside + sum((_request(c, resource) for c in spec.get("containers") or ()), Decimal(0))
    return max(whole, largest) + _quantity((spec.get("overhead") or {}).get(resource))


def free(node: Object, pods: Sequence[Object], resource: str) -> tuple[Decimal, Decimal]:
    """Return how much of a resource a node has left for pods, and how much it has in all."""
    whole = _quantity(node.get("status", {}).get("allocatable", {}).get(resource))
    taken = sum(
        (
            requested(pod, resource)
            for pod in pods
            if pod.get("spec", {}).get("nodeName") == node["metadata"]["name"]
            and pod.get("status", {}).get("phase") not in _ENDED
        ),
        Decimal(0),
    )
    return whole - taken, whole


def nearest(room: Mapping[str, tuple[Decimal, Decimal]]) -> tuple[str, tuple[Decimal, Decimal]]:
    """Return the node that has most left, with (left, whole)."""
    return max(room.items(), key=lambda item: item[1][0])


def amount(resource: str, value: Decimal) -> str:
    """Return an amount as people write it: '1.75' CPUs, '2.5Gi' of memory, '2' devices."""
    if resource in ("memory", "ephemeral-storage"):
        for unit, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if abs(value) >= size:
                return f"{float(value) / size:.4g}{unit}"
    return f"{float(value):.6g}"


def _request(container: Object, resource: str) -> Decimal:
    resources = container.get("resources") or {}
    asked = resources.get("requests") or resources.get("limits") or {}
    return _quantity(asked.get(resource))


def _quantity(text: object) -> Decimal:
    try:
        return parse_quantity(str(text)) if text is not None else Decimal(0)
    except ValueError:
        return Decimal(0)
