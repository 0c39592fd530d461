"""The platform on a cluster: Traefik, CoreDNS, SeaweedFS, Prometheus and its adapter, as ordinary workloads.

    images = load_images(local, parts.ensure(FIRST, progress=progress), FIRST, progress)
    install(cluster, describe(local), parts=FIRST, images=images, dns_address=local.cluster.dns_address)

`install` declares everything anew, so the same call installs, heals what was deleted and follows a change. It
is called once for each wave of parts. A part is waited for until it answers what it is there for, not until
its pod runs.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import CONFIG_MAP, NAMESPACE, STORAGE_SECRET, Platform
from mlk8s.errors import Conflict, NotFound, UsageError
from mlk8s.local import platform_wait
from mlk8s.local.platform_manifests import BASE, CRDS, FIRST, LATER, PART_OF, PARTS, Manifest, fit, load
from mlk8s.local.progress import SILENT, Progress

if TYPE_CHECKING:
    from mlk8s.local.handle import Local

__all__ = ["FIRST", "LATER", "PARTS", "describe", "install", "load_images", "storage_keys"]

_STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_ESTABLISH = 20.0  # seconds until a new CRD is served
# Where there can be only one in a cluster, and somebody else may have come first.
_SHARED = ("APIService", "IngressClass", "GatewayClass", "CustomResourceDefinition")


def describe(local: Local, *, server_image: str | None = None, pipeline_image: str | None = None) -> Platform:
    """What a native cluster's platform offers, for `install` to write down."""
    return Platform(
        installed=True,
        ingress_url=local.ingress_url,
        ingress_class="nginx",
        gateway=f"{NAMESPACE}/traefik",
        s3_endpoint=f"http://seaweedfs.{NAMESPACE}.svc:8333",
        s3_endpoint_outside=local.s3_url,
        prometheus=f"{NAMESPACE}/prometheus:9090",
        server_image=server_image,
        pipeline_image=pipeline_image,
        ingress_namespace=NAMESPACE,
        prometheus_namespace=NAMESPACE,
        gpu_simulated=local.cluster.gpus > 0,
    )


def load_images(
    local: Local, programs: Mapping[str, Path], names: Iterable[str], progress: Progress = SILENT
) -> dict[str, str]:
    """Make images of parts and put them into the node's store; what is there stays.

    Args:
        programs: path of each static part's program, as `parts.ensure` returns them.
        names: parts, or `server` and `pipeline`.

    Returns:
        Reference by name.

    Raises:
        LocalClusterError: an image cannot be made, or the node does not take it.
    """
    from mlk8s.local import images

    wanted, stored, references = list(names), local.images(), {}
    with progress.step("Images", total=len(wanted), unit="images") as step:
        for name in wanted:
            step.update(detail=name)
            image = images.build(name, programs)
            if image.reference not in stored:
                local.load_image(image.archive)
            references[name] = image.reference
            step.advance()
    return references


def install(
    cluster: Cluster,
    platform: Platform,
    *,
    images: Mapping[str, str],
    parts: Iterable[str] = PARTS,
    dns_address: str | None = None,
    progress: Progress = SILENT,
    timeout: float = 120.0,
) -> None:
    """Install parts of the platform, or bring them back to what they should be, and wait until they answer.

    Args:
        cluster: as an administrator.
        platform: what ConfigMap mlk8s-platform shall say.
        images: image of each part by its name; a part that is not in it keeps the official image.
        parts: of `PARTS`; the others are left as they are.
        dns_address: of the cluster's DNS Service, where CoreDNS is among the parts.
        timeout: seconds for each part to answer.

    Raises:
        LocalClusterError: a part does not become ready; the message has the cause.
        ClusterError: the API server refuses, or does not answer.
    """
    wanted = list(parts)
    if unknown := [name for name in wanted if name not in PARTS]:
        raise UsageError(f"There is no part {unknown[0]}.", expected=f"one of {', '.join(PARTS)}")
    persistent = _has_default_storage(cluster)
    if "seaweedfs" in wanted and not persistent:
        progress.message(
            "The cluster has no default StorageClass: models are lost when object storage restarts."
        )
    _apply(cluster, load(BASE), progress)
    keys = storage_keys(cluster)
    _apply(cluster, _written_down(platform), progress)
    if "traefik" in wanted:
        crds = load(CRDS)
        for crd in crds:
            crd["metadata"].setdefault("labels", {})[PART_OF] = "mlk8s"
        _apply(cluster, crds, progress)
    for part in wanted:
        objects = fit(load(part), images=images, dns_address=dns_address, persistent=persistent)
        _apply(cluster, objects, progress)
    _wait(cluster, wanted, _checks(cluster, platform, keys), progress, timeout)


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


def _apply(cluster: Cluster, objects: Iterable[Manifest], progress: Progress) -> None:
    for item in objects:
        if item["kind"] in _SHARED and _is_foreign(cluster, item):
            if item["kind"] != "CustomResourceDefinition":
                progress.message(
                    f"{item['kind']} {item['metadata']['name']} is somebody else's and stays as it is."
                )
            continue
        _apply_when_served(cluster, item)


def _is_foreign(cluster: Cluster, item: Manifest) -> bool:
    kind = f"{item['apiVersion']}/{item['kind']}"
    try:
        found = cluster.find(kind, item["metadata"]["name"])
    except NotFound:  # the kind itself is not served yet
        return False
    return found is not None and (found["metadata"].get("labels") or {}).get(PART_OF) != "mlk8s"


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


def _has_default_storage(cluster: Cluster) -> bool:
    if cluster.find("PersistentVolumeClaim", "seaweedfs", NAMESPACE):
        return True
    classes = cluster.list("StorageClass")
    return any((c["metadata"].get("annotations") or {}).get(_STORAGE_DEFAULT) == "true" for c in classes)


def _checks(cluster: Cluster, platform: Platform, keys: tuple[str, str]) -> dict[str, platform_wait.Check]:
    def nothing_more() -> None:
        """A ready CoreDNS has the Services already: its readiness probe says so."""

    outside, ingress = platform.s3_endpoint_outside, platform.ingress_url
    return {
        "coredns": nothing_more,
        "traefik": platform_wait.answers_http(ingress) if ingress else nothing_more,
        "seaweedfs": platform_wait.answers_s3(outside, *keys) if outside else nothing_more,
        "prometheus": platform_wait.answers_queries(cluster, platform),
        "prometheus-adapter": platform_wait.answers_metrics(cluster),
    }


def _wait(
    cluster: Cluster,
    parts: list[str],
    checks: Mapping[str, platform_wait.Check],
    progress: Progress,
    timeout: float,
) -> None:
    def one(part: str) -> None:
        with progress.step(f"Wait for {part}") as step:
            platform_wait.wait(cluster, part, checks[part], step, timeout)

    with ThreadPoolExecutor(max_workers=len(PARTS)) as pool:
        waits = [pool.submit(one, part) for part in parts]
        failures = [error for done in waits if (error := done.exception()) is not None]
    for error in failures:
        raise error
