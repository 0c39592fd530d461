"""A tenant: one namespace for one team, closed by default, with what its people and pipelines may do."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Labels, Name, Quantity, dns_label, parse_quantity
from mlk8s.spec.route import Network

_COUNTED = (
    "pods", "services", "services.loadbalancers", "services.nodeports", "configmaps", "secrets",
    "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
)  # fmt: skip
_MEASURED = ("cpu", "memory", "ephemeral-storage")
_QUOTA = (
    *_COUNTED, *_MEASURED, "requests.storage",
    *(f"{part}.{name}" for part in ("requests", "limits") for name in _MEASURED),
)  # fmt: skip
# count/RESOURCE.GROUP, requests.DOMAIN/DEVICE, CLASS.storageclass.storage.k8s.io/requests.storage
_FURTHER = re.compile(
    r"count/[a-z0-9.-]+|requests\.[a-z0-9.-]+/[A-Za-z0-9_.-]+"
    r"|[a-z0-9.-]+\.storageclass\.storage\.k8s\.io/(requests\.storage|persistentvolumeclaims)"
)
_VERSION = r"^(latest|v1\.[0-9]{1,2})$"


def _quota(value: dict[str, str]) -> dict[str, str]:
    for name, quantity in value.items():
        if name not in _QUOTA and not _FURTHER.fullmatch(name):
            close = get_close_matches(name, _QUOTA, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"quota of {name!r}: expected a name that a ResourceQuota knows{hint}")
        if (name in _COUNTED or name.startswith("count/")) and parse_quantity(quantity) % 1:
            raise ValueError(f"quota of {name!r}: expected a whole number")
    return value


def _measured(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if name not in _MEASURED:
            raise ValueError(f"{name!r}: expected one of {', '.join(_MEASURED)}")
    return value


Quantities = Annotated[dict[str, Quantity], AfterValidator(_measured)]
Quotas = Annotated[dict[str, Quantity], AfterValidator(_quota)]


class ContainerLimits(Spec):
    """What a container gets that says nothing, and what it may say: a LimitRange of type Container.

    Attributes:
        default_request: requests by resource (`cpu`, `memory`, `ephemeral-storage`).
        default: limits by resource.
        min, max: bounds by resource.
    """

    default_request: Quantities = {"cpu": "100m", "memory": "128Mi"}
    default: Quantities = {"memory": "256Mi"}
    min: Quantities = {}
    max: Quantities = {}

    @model_validator(mode="after")
    def _in_order(self) -> ContainerLimits:
        parts = ("min", "default_request", "default", "max")
        for name in _MEASURED:
            said = [(part, getattr(self, part)[name]) for part in parts if name in getattr(self, part)]
            for (low, less), (high, more) in pairwise(said):
                if parse_quantity(less) > parse_quantity(more):
                    raise ValueError(f"{name}: {low} {less} is above {high} {more}; expected {low} <= {high}")
        return self


class Allow(Spec):
    """The exceptions from a tenant's deny-all NetworkPolicy.

    Attributes:
        inside: pods of the namespace may talk to each other.
        dns: pods may ask the cluster's DNS.
        ingress: the ingress controller may call pods.
        prometheus: Prometheus may call pods.
        storage: pods may call the object storage.
        from_namespaces: namespaces whose pods may call these pods.
        to_namespaces: namespaces whose pods these pods may call.
        to_networks: networks in CIDR notation that pods may call.
    """

    inside: bool = True
    dns: bool = True
    ingress: bool = True
    prometheus: bool = True
    storage: bool = True
    from_namespaces: tuple[Annotated[str, AfterValidator(dns_label)], ...] = ()
    to_namespaces: tuple[Annotated[str, AfterValidator(dns_label)], ...] = ()
    to_networks: tuple[Network, ...] = ()


class Tenant(Spec):
    """A namespace with its rules: Pod Security, quota, defaults, network, accounts with few rights.

    Attributes:
        name: of the namespace.
        pod_security: Pod Security Standard that is enforced, audited and warned about.
        pod_security_version: Kubernetes version whose rules count; `latest` follows the cluster.
        quota: sums over the namespace, by the names of a ResourceQuota.
        limits: defaults and bounds of each container.
        allow: exceptions from the deny-all NetworkPolicy.
        users: ServiceAccounts for people's notebooks: they may deploy models and run jobs here.
        groups: groups of the cluster's own identities with the same rights.
        pipeline: ServiceAccount for pipelines' pods, without any right; None makes none.
        exec: the users may run commands in pods: whatever a pod may read, they may then read.
        port_forward: the users may forward ports of pods.
        image_pull_secrets: Secrets of type kubernetes.io/dockerconfigjson that the accounts pull images with.
        storage_secret: Secret with the object storage's credentials, copied from the platform; who has them
            reads and writes every bucket. None copies none.
        labels: further labels on the namespace.
    """

    name: Name
    pod_security: Literal["restricted", "baseline", "privileged"] = "restricted"
    pod_security_version: Annotated[str, Field(pattern=_VERSION)] = "latest"
    quota: Quotas = {
        "requests.cpu": "8", "requests.memory": "16Gi", "limits.memory": "16Gi", "pods": "50",
        "persistentvolumeclaims": "10", "requests.storage": "50Gi",
        "services.loadbalancers": "0", "services.nodeports": "0",
    }  # fmt: skip
    limits: ContainerLimits = ContainerLimits()
    allow: Allow = Allow()
    users: Annotated[tuple[Name, ...], Field(max_length=100)] = ("notebook",)
    groups: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    pipeline: Name | None = "pipeline"
    exec: bool = False
    port_forward: bool = False
    image_pull_secrets: tuple[Name, ...] = ()
    storage_secret: Name | None = "mlk8s-storage"
    labels: Labels = {}

    @property
    def namespace(self) -> str:
        """The namespace that everything of the tenant is in: its own."""
        return self.name

    @model_validator(mode="after")
    def _may_be_one(self) -> Tenant:
        if self.name.startswith("kube-") or self.name in ("default", "mlk8s-system"):
            raise ValueError(f"namespace {self.name!r} is the cluster's own; expected another name")
        for group in self.groups:
            if group.startswith("system:"):
                raise ValueError(f"group {group!r} is the cluster's own; expected one of your identities")
        accounts = [*self.users, *([self.pipeline] if self.pipeline is not None else [])]
        if len(set(accounts)) < len(accounts) or "default" in accounts:
            raise ValueError("an account is given twice, or is 'default'; expected a name for each")
        return self
