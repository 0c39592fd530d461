"""Why a rendered object is as the linter would not have it: because the spec asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from mlk8s.render.common import Identity
from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.container import Container
from mlk8s.spec.route import Route, ServiceType
from mlk8s.spec.service import ModelService
from mlk8s.spec.waive import waive


def of_deployment(spec: ModelService, identity: Identity, replicas: int | None) -> dict[str, str]:
    """Return the annotation of a service's Deployment; empty where nothing is to be said."""
    reasons = {}
    canary = identity.track in ("canary", "shadow")
    if canary:
        reasons["network-policy"] = f"that of the service selects a {identity.track}'s pods, too"
    if replicas == 1:
        why = f"a {identity.track} has a share of the requests" if canary else "the spec asks for one pod"
        reasons["minimum-replicas"] = why
    if spec.strategy == "Recreate":
        reasons["rollout-strategy"] = "the spec asks for Recreate: two versions must not run at once"
    return waive(reasons | _secrets((spec, *spec.init, *spec.sidecars)))


def of_workload(containers: Iterable[Container]) -> dict[str, str]:
    """Return the annotation of a StatefulSet or DaemonSet."""
    return waive(_secrets(containers))


def _secrets(containers: Iterable[Container | ModelService]) -> dict[str, str]:
    if not any(item.secret_env for item in containers):
        return {}
    return {"secret-as-env": "the spec asks for it, because a program reads its environment only"}


def of_autoscaler(autoscale: Autoscale) -> dict[str, str]:
    """Return the annotation of a HorizontalPodAutoscaler."""
    return waive({"hpa-minimum": "the spec asks for a minimum of one"} if autoscale.min < 2 else {})


def of_cluster_service(kind: ServiceType) -> dict[str, str]:
    """Return the annotation of a service's Service."""
    return waive({"node-port": "the spec asks for a NodePort"} if kind.type == "NodePort" else {})


def of_ingress(route: Route) -> dict[str, str]:
    """Return the annotation of a service's Ingress."""
    plain = route.host is not None and not route.tls
    return waive({"ingress-tls": "the spec names no certificate"} if plain else {})
