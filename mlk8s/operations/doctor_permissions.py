"""What deploy, canary and jobs need to be allowed, asked one by one of whichever authorizer there is."""

from __future__ import annotations

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import STORAGE_SECRET
from mlk8s.errors import Forbidden

_WRITE = ("get", "list", "create", "patch", "delete")
NEEDED: dict[str, tuple[str, ...]] = {
    "deployments.apps": (*_WRITE, "watch"),
    "replicasets.apps": ("list",),
    "pods": ("get", "list", "watch"),
    "pods/log": ("get",),
    "events": ("list", "create"),
    "services": _WRITE,
    "configmaps": _WRITE,
    "secrets": ("get", "create", "patch"),
    "serviceaccounts": _WRITE,
    "ingresses.networking.k8s.io": _WRITE,
    "networkpolicies.networking.k8s.io": _WRITE,
    "horizontalpodautoscalers.autoscaling": _WRITE,
    "poddisruptionbudgets.policy": _WRITE,
    "leases.coordination.k8s.io": ("get", "create", "patch"),
    "jobs.batch": (*_WRITE, "watch"),
    "cronjobs.batch": _WRITE,
}
"""Verbs by 'resource[/subresource][.group]'."""


def missing_permissions(cluster: Cluster, namespace: str) -> list[str]:
    """Return what we may not do in a namespace, as 'VERB,VERB RESOURCE'."""
    missing = []
    for resource, verbs in NEEDED.items():
        if resource == "secrets" and _has_storage(cluster, namespace):
            continue  # the one that is written is there, as in a tenant's namespace
        if _may(cluster, namespace, "*", resource):
            continue
        denied = [verb for verb in verbs if not _may(cluster, namespace, verb, resource)]
        if denied:
            missing.append(f"{','.join(denied)} {resource}")
    return missing


def _has_storage(cluster: Cluster, namespace: str) -> bool:
    try:
        return cluster.find("Secret", STORAGE_SECRET, namespace) is not None
    except Forbidden:
        return False


def _may(cluster: Cluster, namespace: str, verb: str, resource: str) -> bool:
    bare, _, group = resource.partition(".")
    name, _, subresource = bare.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": name,
                "subresource": subresource,
            }
        },
    }
    return bool(cluster.create(review).get("status", {}).get("allowed"))
