"""Gather what `doctor` judges; nothing is kept in the cluster unless a probe is asked for."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from mlk8s.assess.doctor import Finding, assess
from mlk8s.assess.doctor_facts import (
    ApiFacts,
    ClusterFacts,
    GatewayFacts,
    IngressFacts,
    PolicyFacts,
    ProbeFacts,
    SecurityFacts,
    StorageFacts,
    Unknown,
)
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import CONFIG_MAP, NAMESPACE, STORAGE_SECRET, Platform
from mlk8s.clients.traffic import find_controller
from mlk8s.errors import ClusterError, Forbidden, Mlk8sError, Rejected, Unreachable
from mlk8s.operations.doctor_nodes import clock_skew, gpu_facts, node_facts
from mlk8s.operations.doctor_permissions import missing_permissions
from mlk8s.operations.doctor_probe import privileged_pod, probe_policy, restricted_pod

Say = Callable[[str], None]
T = TypeVar("T")

# DaemonSets (or their images) whose agents enforce NetworkPolicy, or are known not to.
_AGENTS: dict[str, bool] = {
    "calico-node": True, "canal": True, "cilium": True, "anetd": True, "antrea-agent": True,
    "kube-router": True, "weave-net": True, "azure-npm": True, "kube-network-policies": True,
    "kindnet": True, "ovnkube-node": True, "flannel": False,
}  # fmt: skip
_LOCAL_PROVISIONER = "mlk8s.dev/local-volume"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def doctor(
    cluster: Cluster, platform: Platform, *, probe: bool = False, image: str | None = None, say: Say = print
) -> list[Finding]:
    """Look at a cluster and return one finding for each thing a model service needs.

    Args:
        probe: try NetworkPolicy with two short-lived pods in a namespace of their own.
        image: image with python3 for these pods; None means the platform's.

    Raises:
        Unreachable: the API server does not answer.
        Forbidden: it does not accept the credentials.
    """
    return assess(gather(cluster, platform, probe=probe, image=image, say=say))


def gather(
    cluster: Cluster, platform: Platform, *, probe: bool = False, image: str | None = None, say: Say = print
) -> ClusterFacts:
    """Return what can be seen of a cluster; what may not be seen is `Unknown`, with the server's words."""
    found: ProbeFacts | Unknown | None = None
    if probe:
        found = _try(lambda: probe_policy(cluster, image or platform.server_image, say=say))
    return ClusterFacts(
        version=cluster.version(),
        namespace=cluster.namespace,
        namespace_found=_try(lambda: cluster.find("Namespace", cluster.namespace) is not None),
        missing=_try(lambda: tuple(missing_permissions(cluster, cluster.namespace))),
        nodes=_try(lambda: node_facts(cluster)),
        ingress=_try(lambda: _ingress(cluster, platform)),
        gateway=_try(lambda: _gateway(cluster)),
        apis=_try(lambda: _apis(cluster)),
        gpus=_try(lambda: gpu_facts(cluster)),
        storage_classes=_try(lambda: _storage_classes(cluster)),
        policy=_try(lambda: _policy(cluster, found)),
        storage=_try(lambda: _storage(cluster, platform)),
        security=_try(lambda: _security(cluster)),
        platform=_try(lambda: (cluster.find("ConfigMap", CONFIG_MAP, NAMESPACE) or {}).get("data")),
        clock=_try(lambda: clock_skew(cluster)),
    )


def _try(look: Callable[[], T]) -> T | Unknown:
    """Return a fact, or why it cannot be seen; a server that is gone ends the whole."""
    try:
        return look()
    except Unreachable:
        raise
    except ClusterError as error:
        return Unknown(error.what.splitlines()[0])


def _ingress(cluster: Cluster, platform: Platform) -> IngressFacts:
    found = find_controller(cluster, platform.ingress_class)
    known = found.ingress_class if found.controller is not None else None
    return IngressFacts(known, found.honours_canary, found.reason)


def _gateway(cluster: Cluster) -> GatewayFacts:
    groups = orjson.loads(cluster.raw("GET", "/apis"))["groups"]
    group = next((item for item in groups if item["name"] == "gateway.networking.k8s.io"), None)
    if group is None:
        return GatewayFacts((), ())
    versions = tuple(item["groupVersion"] for item in group["versions"])
    kind = f"{group['preferredVersion']['groupVersion']}/GatewayClass"
    return GatewayFacts(versions, _try(lambda: tuple(_accepted(cluster.list(kind)))))


def _accepted(classes: list[dict[str, Any]]) -> list[str]:
    return [
        f"{item['metadata']['name']} ({item['spec']['controllerName']})"
        for item in classes
        if any(
            condition["type"] == "Accepted" and condition["status"] == "True"
            for condition in item.get("status", {}).get("conditions") or []
        )
    ]


def _apis(cluster: Cluster) -> dict[str, ApiFacts]:
    """Return the aggregated APIs by group; of several versions of one group, one that is available."""
    found: dict[str, ApiFacts] = {}
    for item in cluster.list("APIService"):
        service = item["spec"].get("service")
        if not service:
            continue
        conditions = item.get("status", {}).get("conditions") or []
        state: dict[str, Any] = next((one for one in conditions if one["type"] == "Available"), {})
        group = item["spec"]["group"]
        if group in found and found[group].available:
            continue
        where = f"{service['namespace']}/{service['name']}"
        found[group] = ApiFacts(where, state.get("status") == "True", str(state.get("message", "")))
    return found


def _storage_classes(cluster: Cluster) -> dict[str, bool]:
    return {
        item["metadata"]["name"]: (item["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
        for item in cluster.list("StorageClass")
    }


def _policy(cluster: Cluster, probe: ProbeFacts | Unknown | None) -> PolicyFacts:
    if isinstance(probe, ProbeFacts):
        return PolicyFacts(None, None, probe)
    agent, enforces = _agent(cluster)
    return PolicyFacts(agent, enforces, probe)


def _agent(cluster: Cluster) -> tuple[str | None, bool | None]:
    names = [str(item["metadata"]["name"]) for item in cluster.list("DaemonSet", all_namespaces=True)]
    for enforces in (True, False):  # flannel beside a policy agent is what "canal" is
        for name in names:
            if any(agent in name for agent, does in _AGENTS.items() if does is enforces):
                return name, enforces
    if any(item.get("provisioner") == _LOCAL_PROVISIONER for item in cluster.list("StorageClass")):
        return "the local cluster's node agent", True
    return None, None


def _storage(cluster: Cluster, platform: Platform) -> StorageFacts:
    endpoint, outside = platform.s3_endpoint, platform.s3_endpoint_outside
    if outside is None:
        return StorageFacts(endpoint, outside)
    from mlk8s.storage.credentials import StorageConfig
    from mlk8s.storage.store import Store

    try:
        data = cluster.get("Secret", STORAGE_SECRET, NAMESPACE).get("data") or {}
    except Forbidden:  # a tenant's user has the copy of the own namespace
        data = cluster.get("Secret", STORAGE_SECRET).get("data") or {}
    keys = {name: base64.b64decode(text).decode() for name, text in data.items()}
    try:
        config = StorageConfig(
            endpoint=outside,
            access_key_id=keys.get("access-key-id", ""),
            secret_access_key=keys.get("secret-access-key", ""),
        )
        Store("s3://models", config).exists("doctor-looks-for-nothing")
    except Mlk8sError as error:
        return StorageFacts(endpoint, outside, error.what.splitlines()[0])
    return StorageFacts(endpoint, outside)


def _security(cluster: Cluster) -> SecurityFacts:
    namespace = cluster.find("Namespace", cluster.namespace) or {"metadata": {}}
    labels = namespace["metadata"].get("labels") or {}
    privileged = _try(lambda: _refusal(cluster, privileged_pod(cluster.namespace)))
    return SecurityFacts(
        labels.get("pod-security.kubernetes.io/enforce"),
        privileged if isinstance(privileged, Unknown) else privileged is not None,
        _try(lambda: _refusal(cluster, restricted_pod(cluster.namespace))),
    )


def _refusal(cluster: Cluster, pod: dict[str, Any]) -> str | None:
    """Return why the API server would refuse a pod, None where it would not; nothing is kept."""
    try:
        cluster.create(pod, dry_run=True)
    except Rejected as error:
        return error.what
    return None
