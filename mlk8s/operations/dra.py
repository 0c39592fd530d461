"""What GPUs by Dynamic Resource Allocation need of a cluster, looked for before anything is written."""

from __future__ import annotations

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Forbidden, NotFound
from mlk8s.spec.resources import Gpu

_GROUP = "resource.k8s.io"


def require_dra(cluster: Cluster, gpu: Gpu | None) -> None:
    """Check that the cluster serves resource.k8s.io/v1 and has the device class.

    Raises:
        NotFound: it does not; names what it has.
    """
    if gpu is None or gpu.device_class is None:
        return
    where = f"context {cluster.context!r}"
    if not cluster.serves(f"{_GROUP}/v1/ResourceClaimTemplate"):
        raise NotFound(
            f"the cluster does not serve {_GROUP}/v1; it has {_versions(cluster)}",
            where=where,
            expected="Kubernetes 1.34 or later, for GPUs as DRA devices; nothing was written",
            next_step="ask for the GPUs as an extended resource: Gpu(1) without dra and device_class",
        )
    try:
        if cluster.find("DeviceClass", gpu.device_class) is not None:
            return
        there = [item["metadata"]["name"] for item in cluster.list("DeviceClass", all_namespaces=True)]
    except Forbidden:
        return  # the pod waits, and the scheduler says for what
    raise NotFound(
        f"there is no DeviceClass {gpu.device_class!r}",
        where=where,
        expected=f"one of: {', '.join(there)}" if there else "a DRA driver, which brings its device class",
        next_step="`kubectl get deviceclasses,resourceslices`",
    )


def remove_templates(cluster: Cluster, namespace: str, labels: str) -> int:
    """Delete the ResourceClaimTemplates with some labels; return how many there were."""
    kind = f"{_GROUP}/v1/ResourceClaimTemplate"
    try:
        found = cluster.list(kind, namespace, labels=labels)
    except (NotFound, Forbidden):
        return 0  # the cluster has no such kind; who may not read them has made none
    return sum(cluster.delete(kind, item["metadata"]["name"], namespace) for item in found)


def _versions(cluster: Cluster) -> str:
    """Return the versions of the group that the cluster serves, in words."""
    try:
        found = orjson.loads(cluster.raw("GET", f"/apis/{_GROUP}"))["versions"]
    except ClusterError:
        return f"no {_GROUP} at all"
    return ", ".join(item["groupVersion"] for item in found)
