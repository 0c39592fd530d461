"""The few objects that a bare cluster needs first: rights, and the default StorageClass."""

from __future__ import annotations

from typing import Any

from mlk8s.local.agent.api import Api

STORAGE_CLASS = "mlk8s-local"
RETAINING_CLASS = "mlk8s-local-retain"
"""The same, but a volume and its data outlive their claim."""
PROVISIONER = "mlk8s.dev/local-volume"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


def _rule(
    group: str, resources: list[str], verbs: list[str], names: list[str] | None = None
) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return rule if names is None else {**rule, "resourceNames": names}


def _agent_role(node: str) -> dict[str, Any]:
    watch = ["get", "list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "mlk8s-agent"},
        "rules": [
            _rule("", ["pods", "namespaces"], watch),
            _rule("networking.k8s.io", ["networkpolicies"], watch),
            _rule("storage.k8s.io", ["storageclasses"], ["get"]),
            _rule("", ["persistentvolumeclaims"], watch),
            _rule("", ["persistentvolumes"], [*watch, "create", "delete", "patch"]),
            _rule("", ["services"], watch),
            _rule("", ["services/status"], ["patch"]),
            _rule("", ["events"], ["create"]),
            _rule("", ["nodes"], ["get"], [node]),
            _rule("", ["nodes/status"], ["patch"], [node]),
        ],
    }


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _storage_class(name: str, reclaim: str) -> dict[str, Any]:
    default = "true" if name == STORAGE_CLASS else "false"
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": reclaim,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def install(api: Api, node: str) -> None:
    """Apply them all; what is there already stays.

    Raises:
        ApiError: the API server refuses.
    """
    bindings = (
        _binding("mlk8s-kubelet-client", "system:kubelet-api-admin", "kube-apiserver-kubelet-client"),
        _binding("mlk8s-agent", "mlk8s-agent", "mlk8s-agent"),
    )
    api.apply(f"{_RBAC}/clusterroles/mlk8s-agent", _agent_role(node))
    for binding in bindings:
        api.apply(f"{_RBAC}/clusterrolebindings/{binding['metadata']['name']}", binding)
    for name, reclaim in ((STORAGE_CLASS, "Delete"), (RETAINING_CLASS, "Retain")):
        api.apply(f"/apis/storage.k8s.io/v1/storageclasses/{name}", _storage_class(name, reclaim))
