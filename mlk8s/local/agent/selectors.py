"""The facts of pods that NetworkPolicy looks at, reduced to what matters; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod with an address of its own.

    Args:
        named_ports: (name, protocol) of each named container port to its number.
    """

    namespace: str
    address: str
    labels: Mapping[str, str]
    named_ports: Mapping[tuple[str, str], int]


def reduce_pod(pod: Object) -> dict[str, Any] | None:
    """What the enforcer keeps of a pod; None for one whose address is the node's or has been given back."""
    spec, status, metadata = pod["spec"], pod.get("status", {}), pod["metadata"]
    if spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    # a native sidecar is an init container that goes on running, and its ports count
    containers = [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    ports = {
        (port["name"], port.get("protocol", "TCP")): port["containerPort"]
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name")
    }
    return {
        "uid": metadata["uid"],
        "namespace": metadata["namespace"],
        "labels": metadata.get("labels") or {},
        "ports": ports,
        "address": status.get("podIP", ""),
    }


def addressed_pods(pods: Mapping[str, Object], claims: Mapping[str, str]) -> list[Pod]:
    """Give each pod its address.

    Args:
        pods: by uid, as `reduce_pod` keeps them.
        claims: uid → address, as handed out on this node; these are newer than a pod's status, which may
        still
            tell the address from before a restart.
    """
    owner = {address: uid for uid, address in claims.items() if uid in pods}
    found = []
    for uid, pod in pods.items():
        address = claims.get(uid) or pod["address"]
        if address and owner.get(address, uid) == uid:
            found.append(
                Pod(
                    namespace=pod["namespace"],
                    address=address,
                    labels=pod["labels"],
                    named_ports=pod["ports"],
                )
            )
    return sorted(found, key=lambda pod: pod.address)
