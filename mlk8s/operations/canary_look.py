"""What the cluster holds of a canary, read anew by any process."""

from __future__ import annotations

from typing import Any

from mlk8s.assess.canary import CanaryFacts, CanaryStatus, assess_canary
from mlk8s.clients.cluster import Cluster
from mlk8s.operations import canary_state
from mlk8s.operations.bluegreen_state import live_beside
from mlk8s.operations.lease import holder
from mlk8s.render.canary import GatewayRule, IngressRule, TrafficRule, traffic_rule
from mlk8s.render.common import INSTANCE, MANAGED_BY, MANAGER, NAME, TRACK, Identity
from mlk8s.render.stored import stored_spec

KINDS = ("Deployment", "PodDisruptionBudget", "Service", "ConfigMap", "ServiceAccount")
"""What a canary is made of beside its traffic rule, in the order in which it goes: pods first."""


def lease_name(service: str) -> str:
    """Return the name of the Lease that guards a service's canary."""
    return f"mlk8s-canary-{service}"


def selector(service: str) -> str:
    """Return the label selector of a canary's objects, and of nobody else's."""
    labels = {
        NAME: service,
        INSTANCE: Identity(service, "canary").instance,
        MANAGED_BY: MANAGER,
        TRACK: "canary",
    }
    return ",".join(f"{key}={value}" for key, value in labels.items())


def look(
    cluster: Cluster, name: str, namespace: str, *, worked_on: bool = True, operator: str | None = None
) -> CanaryStatus:
    """Return the status of a service's canary.

    Args:
        worked_on: False where whoever holds the Lease is known to be gone.
        operator: who holds it, where that is known.

    Raises:
        NotFound: no such service.
        Conflict: its record cannot be read.
    """
    deployment = cluster.get("Deployment", name, namespace)
    spec = stored_spec(live_beside(cluster, deployment))
    instance = Identity(name, "canary").instance
    rule = traffic_rule(spec) if spec is not None else IngressRule()
    live = cluster.find(rule.kind, rule_name(rule, name), namespace)
    pods = _canary_deployment(cluster, name, namespace)
    weight = rule.weight(live) if live is not None else None
    if worked_on and operator is None:
        operator = holder(cluster, lease_name(name), namespace)
    leftovers = [f"Deployment {instance}"] if pods is not None else []
    if weight is not None:
        leftovers.append(f"{rule.kind} {rule_name(rule, name)}")
    return assess_canary(
        CanaryFacts(
            service=name,
            stable_model=spec.model if spec is not None else None,
            record=canary_state.read(deployment),
            pods=None if pods is None else int(pods["spec"].get("replicas", 1)),
            ready=None if pods is None else int((pods.get("status") or {}).get("readyReplicas") or 0),
            weight=weight,
            leftovers=leftovers,
            operator=operator,
        )
    )


def ready_pods(cluster: Cluster, name: str, namespace: str) -> int:
    """Return how many of the canary's pods are ready."""
    found = _canary_deployment(cluster, name, namespace)
    return int(((found or {}).get("status") or {}).get("readyReplicas") or 0)


def rule_name(rule: TrafficRule, service: str) -> str:
    """Return the name of the object that shares the traffic: the canary's Ingress, or the service's route."""
    return service if isinstance(rule, GatewayRule) else Identity(service, "canary").instance


def _canary_deployment(cluster: Cluster, name: str, namespace: str) -> dict[str, Any] | None:
    found = cluster.list("Deployment", namespace, labels=selector(name))
    return found[0] if found else None
