"""What the Vertical Pod Autoscaler recommends for a service, and that as the resources of its next deploy."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import NotFound
from mlk8s.spec.pods import SERVER
from mlk8s.spec.quantity import parse_quantity
from mlk8s.spec.resources import Resources

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Requests that fit what a model server was seen to use.

    Attributes:
        cpu, memory: the recommended requests as Kubernetes quantities; None where they are not recommended.
        lower, upper: bounds by resource; outside of them running pods are worth changing.
    """

    cpu: str | None
    memory: str | None
    lower: dict[str, str]
    upper: dict[str, str]

    def resources(self, now: Resources) -> Resources:
        """Return resources with the recommended requests; limits keep their proportion to them.

        Args:
            now: the resources that the service has.
        """
        changes: dict[str, str] = {}
        if self.cpu is not None:
            changes["cpu"] = self.cpu
            if now.cpu_limit is not None:
                changes["cpu_limit"] = _cores(_scaled(now.cpu, now.cpu_limit, self.cpu))
        if self.memory is not None:
            changes["memory"] = _mebibytes(float(parse_quantity(self.memory)))
            if now.memory_limit is not None:
                changes["memory_limit"] = _mebibytes(_scaled(now.memory, now.memory_limit, self.memory))
        made: Resources = now.replace(**changes)
        return made


def recommendation(cluster: Cluster, name: str, namespace: str) -> Recommendation | None:
    """Return what is recommended for a service; None while nothing is known yet.

    Raises:
        NotFound: the service has no VerticalPodAutoscaler.
    """
    found = cluster.find("VerticalPodAutoscaler", name, namespace)
    if found is None:
        raise NotFound(
            f"no VerticalPodAutoscaler watches {name!r}",
            where=f"namespace {namespace!r} of context {cluster.context!r}",
            expected="a service with vertical=Vertical(...)",
            next_step="deploy it with vertical=Vertical(), on a cluster with VPA (`mlk8s up --with vpa`)",
        )
    containers = ((found.get("status") or {}).get("recommendation") or {}).get("containerRecommendations")
    for item in containers or []:
        if item["containerName"] == SERVER:
            target = item["target"]
            return Recommendation(
                cpu=target.get("cpu"),
                memory=target.get("memory"),
                lower=dict(item.get("lowerBound") or {}),
                upper=dict(item.get("upperBound") or {}),
            )
    return None


def _scaled(request: str, limit: str, new: str) -> float:
    return float(parse_quantity(limit) / parse_quantity(request) * parse_quantity(new))


def _cores(value: float) -> str:
    return f"{ceil(value * 1000)}m"


def _mebibytes(value: float) -> str:
    return f"{ceil(value / _MIB)}Mi"
