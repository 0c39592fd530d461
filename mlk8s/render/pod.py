"""Parts of a pod that model servers and pipelines share: hardening, resources, GPUs, storage credentials.

A pod made of these parts passes the Pod Security Standard `restricted`.
"""

from __future__ import annotations

from mlk8s.render.common import Manifest
from mlk8s.spec.pod import Pulled
from mlk8s.spec.resources import Gpu, Resources

UID = 10001
CREDENTIALS_DIR = "/var/run/secrets/mlk8s/storage"
TMP_LIMIT = "64Mi"

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
MOVABLE = {SAFE_TO_EVICT: "true"}
"""Annotations of a pod whose local data can be had again: without them cluster-autoscaler keeps the node of
any pod that has an emptyDir."""

UNMOVABLE = {SAFE_TO_EVICT: "false", "karpenter.sh/do-not-disrupt": "true"}
"""Annotations of a pod that would begin anew elsewhere: cluster-autoscaler and Karpenter let it end first."""


def pod_security() -> Manifest:
    """Return the pod's securityContext; fsGroup lets the user of the image read the mounted Secret."""
    return {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "fsGroup": UID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Return a container's securityContext: no new privileges, no capabilities, a read-only image."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(spec: Resources, gpu: Gpu | None = None) -> Manifest:
    """Return requests and limits; memory, disk and GPUs are not overcommitted unless the spec says so."""
    requests = {"cpu": spec.cpu, "memory": spec.memory, "ephemeral-storage": spec.ephemeral_storage}
    limits = {"memory": spec.memory_limit or spec.memory, "ephemeral-storage": spec.ephemeral_storage}
    if spec.cpu_limit is not None:
        limits["cpu"] = spec.cpu_limit
    if gpu is not None and not gpu.dra:
        requests[gpu.resource] = limits[gpu.resource] = str(gpu.count)
    found: Manifest = {"requests": requests, "limits": limits}
    if gpu is not None and gpu.dra:
        found["claims"] = [{"name": "gpu"}]
    return found


def credentials_volume(secret: str) -> Manifest:
    """Return the volume of the storage Secret; a missing key keeps the pod from starting, and says so."""
    keys = ("access-key-id", "secret-access-key")
    items = [{"key": key, "path": key} for key in keys]
    return {"name": "storage", "secret": {"secretName": secret, "defaultMode": 0o440, "items": items}}


def credentials_mount() -> Manifest:
    """Return where the storage credentials are files: they never stand in an environment."""
    return {"name": "storage", "mountPath": CREDENTIALS_DIR, "readOnly": True}


def empty_dir(name: str, limit: str) -> Manifest:
    """Return a scratch volume that cannot fill the node's disk."""
    return {"name": name, "emptyDir": {"sizeLimit": limit}}


def tmp_mount() -> Manifest:
    """Return where scratch files go: the image itself is read-only."""
    return {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod's own


def env(values: dict[str, str]) -> list[Manifest]:
    """Return plain environment variables."""
    return [{"name": name, "value": value} for name, value in values.items()]


def pod_basis(spec: Pulled, account: str) -> Manifest:
    """Return what every pod of ours begins with: its account, how its images are pulled, its hardening.

    Args:
        account: name of its ServiceAccount, whose token it does not get.
    """
    names = [{"name": name} for name in spec.image_pull_secrets]
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        **({"imagePullSecrets": names} if names else {}),
        "enableServiceLinks": False,
        "securityContext": pod_security(),
    }
