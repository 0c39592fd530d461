"""What `doctor` was able to see of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be had, and why."""

    reason: str


@dataclass(frozen=True)
class NodeFacts:
    """One node.

    Attributes:
        ready: its Ready condition.
        reason: the condition's words where it is not ready.
        pressures: conditions such as MemoryPressure that are true.
        cordoned: whether it takes no new pods.
        clock_lag: seconds since kubelet last renewed its Lease by its own clock, read on ours; about 0 to 12
            where both clocks agree. None where it has no Lease.
    """

    name: str
    ready: bool
    reason: str
    pressures: tuple[str, ...] = ()
    cordoned: bool = False
    clock_lag: float | None = None


@dataclass(frozen=True)
class IngressFacts:
    """The class that services get, and what serves it; `honours_canary` is None where only trying tells."""

    ingress_class: str | None
    honours_canary: bool | None
    reason: str


@dataclass(frozen=True)
class GatewayFacts:
    """Gateway API: served versions, and accepted GatewayClasses as 'NAME (controller)'."""

    versions: tuple[str, ...]
    classes: tuple[str, ...] | Unknown


@dataclass(frozen=True)
class ApiFacts:
    """An aggregated API: `available` as its APIService says, and the words where it is not."""

    name: str
    available: bool
    message: str = ""


@dataclass(frozen=True)
class GpuFacts:
    """One extended resource of the nodes: whole devices; `simulated` where the node's label says so."""

    resource: str
    allocatable: int
    allocated: int | None
    simulated: bool


@dataclass(frozen=True)
class ProbeFacts:
    """Two pods and a policy: whether a denied connection was refused; None where it was not tried."""

    ingress: bool | None
    egress: bool | None


@dataclass(frozen=True)
class PolicyFacts:
    """NetworkPolicy: the known agent that enforces it (or is known not to), and what a probe saw."""

    agent: str | None
    enforces: bool | None
    probe: ProbeFacts | Unknown | None = None


@dataclass(frozen=True)
class StorageFacts:
    """Object storage: its address from pods and from here, and the answer to a request from here."""

    endpoint: str | None
    outside: str | None
    error: str | None = None


@dataclass(frozen=True)
class SecurityFacts:
    """Pod Security in the namespace.

    Attributes:
        level: the namespace's `enforce` label.
        refuses_privileged: whether a privileged pod is refused (server dry run).
        refuses_ours: the server's words where a pod like ours is refused, else None.
    """

    level: str | None
    refuses_privileged: bool | Unknown
    refuses_ours: str | Unknown | None


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """Everything `doctor` asks for; what could not be seen is an `Unknown`.

    Attributes:
        version: the API server's.
        missing: permissions that deploy, canary and jobs need and that we lack, 'verb resource.group'.
        apis: aggregated APIs by group.
        platform: keys of ConfigMap mlk8s-system/mlk8s-platform; None where it is not there.
        clock: seconds that the API server's clock is ahead of ours; accurate to about a second.
    """

    version: str
    namespace: str
    namespace_found: bool | Unknown
    missing: tuple[str, ...] | Unknown
    nodes: tuple[NodeFacts, ...] | Unknown
    ingress: IngressFacts | Unknown
    gateway: GatewayFacts | Unknown
    apis: Mapping[str, ApiFacts] | Unknown
    gpus: tuple[GpuFacts, ...] | Unknown
    storage_classes: Mapping[str, bool] | Unknown
    policy: PolicyFacts | Unknown
    storage: StorageFacts | Unknown
    security: SecurityFacts | Unknown
    platform: Mapping[str, str] | Unknown | None
    clock: float | Unknown
