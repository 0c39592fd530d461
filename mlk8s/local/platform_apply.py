"""The platform's objects in a cluster: made where they are missing, brought back where they were changed."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import CONFIG_MAP, NAMESPACE, STORAGE_SECRET, Platform
from mlk8s.errors import Conflict, NotFound
from mlk8s.local.platform_manifests import (
    BASE,
    CRDS,
    NAME,
    PART_OF,
    TAKES_OVER,
    TRAEFIK_CRDS,
    Manifest,
    fit,
    load,
)
from mlk8s.local.progress import Progress
from mlk8s.render.metrics import USER_RULES, with_rules

_STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_ESTABLISH = 20.0  # seconds until a new CRD is served
# Where there can be only one in a cluster, and somebody else may have come first.
_SHARED = ("APIService", "IngressClass", "GatewayClass", "CustomResourceDefinition")


def apply_base(cluster: Cluster, progress: Progress) -> None:
    """Apply what every part needs: the namespace and its policy."""
    apply_objects(cluster, load(BASE), progress)


def apply_part(
    cluster: Cluster, part: str, *, images: Mapping[str, str], dns_address: str | None, progress: Progress
) -> None:
    """Apply a part's objects.

    Args:
        images: image by the part's name; a part that is not in it keeps the official one.
        dns_address: of the cluster's DNS Service, for CoreDNS.

    Raises:
        ClusterError: the API server refuses.
    """
    persistent = part != "seaweedfs" or _has_storage(cluster)
    if not persistent:
        progress.message(
            "The cluster has no default StorageClass: models are lost when object storage restarts."
        )
    if part == "traefik":
        crds = [*load(CRDS), *load(TRAEFIK_CRDS)]
        for crd in crds:
            crd["metadata"].setdefault("labels", {})[PART_OF] = "mlk8s"
        apply_objects(cluster, crds, progress)
    objects = load(part)
    if part == "prometheus-adapter":
        _keep_user_rules(cluster, objects)
    fitted = fit(objects, images=images, dns_address=dns_address, persistent=persistent)
    apply_objects(cluster, fitted, progress)


def _keep_user_rules(cluster: Cluster, objects: Iterable[Manifest]) -> None:
    """Put the rules of the metrics that users declared into the adapter's configuration."""
    found = cluster.find("ConfigMap", USER_RULES, NAMESPACE)
    rules = (found or {}).get("data") or {}
    for item in objects:
        if item["kind"] == "ConfigMap" and rules:
            item["data"]["config.yaml"] = with_rules(item["data"]["config.yaml"], rules)


def apply_description(cluster: Cluster, platform: Platform, progress: Progress) -> None:
    """Write ConfigMap mlk8s-platform."""
    apply_objects(cluster, _written_down(platform), progress)


def storage_keys(cluster: Cluster) -> tuple[str, str]:
    """Return access key id and secret of the object storage; they are made where there are none."""
    found = cluster.find("Secret", STORAGE_SECRET, NAMESPACE)
    if found is None:
        made = {"access-key-id": secrets.token_hex(10), "secret-access-key": secrets.token_urlsafe(30)}
        labels = {"app.kubernetes.io/name": "seaweedfs", PART_OF: "mlk8s"}
        try:
            found = cluster.create(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": STORAGE_SECRET, "namespace": NAMESPACE, "labels": labels},
                    "type": "Opaque",
                    "data": {key: base64.b64encode(text.encode()).decode() for key, text in made.items()},
                }
            )
        except Conflict:  # another `mlk8s up` was faster
            found = cluster.get("Secret", STORAGE_SECRET, NAMESPACE)
    data = {key: base64.b64decode(text).decode() for key, text in found["data"].items()}
    return data["access-key-id"], data["secret-access-key"]


def _written_down(platform: Platform) -> list[Manifest]:
    """The ConfigMap, and the right of every user of the cluster to read it: it holds no secret."""
    metadata = {"namespace": NAMESPACE, "labels": {PART_OF: "mlk8s"}}
    reader = f"{CONFIG_MAP}-reader"
    rbac = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG_MAP, **metadata},
            "data": platform.data(),
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": reader, **metadata},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": [CONFIG_MAP],
                    "verbs": ["get"],
                }
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": reader, **metadata},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": reader},
            "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "system:authenticated"}],
        },
    ]


def apply_objects(cluster: Cluster, objects: Iterable[Manifest], progress: Progress) -> None:
    """Apply objects in order; what can be in a cluster only once and is somebody else's stays as it is.

    Raises:
        ClusterError: the API server refuses.
    """
    for item in objects:
        there = _labels_of_shared(cluster, item)
        if there is not None and there.get(PART_OF) != "mlk8s":
            if item["kind"] != "CustomResourceDefinition":
                progress.message(
                    f"{item['kind']} {item['metadata']['name']} is somebody else's and stays as it is."
                )
            continue
        if there is not None and _is_taken_over(there, item):
            continue
        _apply_when_served(cluster, item)


def _labels_of_shared(cluster: Cluster, item: Manifest) -> Mapping[str, str] | None:
    """Return the labels of the object as it is, where there can be one only; None where it is not there."""
    if item["kind"] not in _SHARED:
        return None
    kind = f"{item['apiVersion']}/{item['kind']}"
    try:
        found = cluster.find(kind, item["metadata"]["name"])
    except NotFound:  # the kind itself is not served yet
        return None
    return None if found is None else found["metadata"].get("labels") or {}


def _is_taken_over(there: Mapping[str, str], item: Manifest) -> bool:
    """Whether an optional part serves an API that would be served without it, too: then it goes on."""
    name = item["metadata"].get("labels", {}).get(NAME)
    return item["kind"] == "APIService" and there.get(NAME) in TAKES_OVER and there.get(NAME) != name


def _apply_when_served(cluster: Cluster, item: Manifest) -> None:
    """Apply an object; a kind that a CRD has just brought is served a moment later."""
    end = time.monotonic() + _ESTABLISH
    while True:
        try:
            cluster.apply(item, force=True)
            return
        except NotFound:
            if "gateway.networking.k8s.io/" not in item["apiVersion"] or time.monotonic() > end:
                raise
            time.sleep(0.1)


def _has_storage(cluster: Cluster) -> bool:
    if cluster.find("PersistentVolumeClaim", "seaweedfs", NAMESPACE):
        return True
    classes = cluster.list("StorageClass")
    return any((c["metadata"].get("annotations") or {}).get(_STORAGE_DEFAULT) == "true" for c in classes)
