"""What several end-to-end tests need of a cluster: further namespaces, and users with few rights."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import yaml

from mlk8s.clients.cluster import Cluster

T = TypeVar("T")


@contextmanager
def fresh_cluster_namespace(local: Any, title: str) -> Iterator[str]:
    """Make a namespace and delete it afterwards, without waiting."""
    from conftest import fresh_namespace

    names = fresh_namespace(local, title)
    try:
        yield next(names)
    finally:
        next(names, None)


def kubeconfig_of_service_account(
    local: Any, cluster: Cluster, name: str, rules: list[dict[str, Any]], directory: Path
) -> Path:
    """Make a ServiceAccount with the rules in the cluster's namespace; return a kubeconfig with its token."""
    metadata = {"name": name, "namespace": cluster.namespace}
    rbac = "rbac.authorization.k8s.io"
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    cluster.create({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": rules})
    cluster.create(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}],
        }
    )
    # The API server hears of its own rules a moment later.
    wait_for(lambda: all(_may(cluster, name, rule) for rule in rules))
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/{name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = orjson.loads(cluster.raw("POST", path, body=body))["status"]["token"]
    config = yaml.safe_load(Path(local.kubeconfig).read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    found = directory / "kubeconfig"
    found.write_text(yaml.safe_dump(config), encoding="utf-8")
    return found


def _may(cluster: Cluster, name: str, rule: dict[str, Any]) -> bool:
    """Return whether a ServiceAccount may do what a rule allows, as the API server has it now."""
    resource, _, subresource = rule["resources"][0].partition("/")
    asked = {
        "namespace": cluster.namespace, "verb": rule["verbs"][0], "group": rule["apiGroups"][0],
        "resource": resource, "subresource": subresource, "name": (rule.get("resourceNames") or [""])[0],
    }  # fmt: skip
    user = f"system:serviceaccount:{cluster.namespace}:{name}"
    review = {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
        "spec": {"user": user, "resourceAttributes": asked},
    }  # fmt: skip
    return bool(cluster.create(review)["status"]["allowed"])


def live_pods(cluster: Cluster, labels: str = "", namespace: str | None = None) -> list[dict[str, Any]]:
    """Return the pods that are not ending: one that drains is listed for as long as it answers its last."""
    found = cluster.list("Pod", namespace, labels=labels or None)
    return [item for item in found if not item["metadata"].get("deletionTimestamp")]


def uids(pods: list[dict[str, Any]]) -> set[str]:
    """Return who the pods are; a restart in place keeps a pod's UID."""
    return {item["metadata"]["uid"] for item in pods}


def connects(host: str, port: int, timeout: float = 1.0) -> bool:
    """Return whether somebody listens, as seen from the machine."""
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def wait_for(true: Callable[[], T], seconds: float = 90.0) -> T:
    """Wait until something is so, and return it; fails where it is not in time."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.2)
    return found
