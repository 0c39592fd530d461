"""Claims that a workload takes from somebody else must be there; those that are its own may stay or go."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict, Forbidden, NotFound
from mlk8s.render.common import Manifest
from mlk8s.render.volume import RETAIN
from mlk8s.spec.volume import Volume

Say = Callable[[str], None]


def taken(volumes: Iterable[Volume]) -> list[str]:
    """Return the names of the claims that volumes take from somebody else."""
    return [item.claim for item in volumes if item.claim is not None]


def require_claims(cluster: Cluster, namespace: str, names: Iterable[str]) -> None:
    """Check that claims are there, before anything is written.

    Raises:
        NotFound: one is not there; names those that are.
        Conflict: one is being deleted, or its volume is gone.
    """
    for name in dict.fromkeys(names):
        try:
            found = cluster.find("PersistentVolumeClaim", name, namespace)
        except Forbidden:
            return  # the pod tells
        where = f"namespace {namespace!r} of context {cluster.context!r}"
        if found is None:
            there = [item["metadata"]["name"] for item in cluster.list("PersistentVolumeClaim", namespace)]
            raise NotFound(
                f"PersistentVolumeClaim {name!r} is not there",
                where=where,
                expected=f"one of: {', '.join(there)}" if there else "a claim that a job has filled",
                next_step=f"make it: k8s.apply(mlk8s.Volume(name={name!r}, size='1Gi')), and fill it",
            )
        if found["metadata"].get("deletionTimestamp"):
            raise Conflict(f"PersistentVolumeClaim {name!r} is being deleted", where=where)
        if found.get("status", {}).get("phase") == "Lost":
            raise Conflict(
                f"PersistentVolumeClaim {name!r} has lost its volume {found['spec'].get('volumeName')}",
                where=where,
                next_step="restore the volume, or delete the claim and fill a new one",
            )


def require_classes(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    """Check that the classes that claims name are there: a claim of one that is not waits for ever.

    Raises:
        NotFound: one is not, and no volume was made by hand for it.
    """
    claims = []
    for item in manifests:
        if item["kind"] == "PersistentVolumeClaim":
            claims.append(item)
        elif item["kind"] == "StatefulSet":
            claims += item["spec"].get("volumeClaimTemplates") or []
    wanted = {
        str(item["spec"]["storageClassName"]) for item in claims if item["spec"].get("storageClassName")
    }
    if not wanted:
        return
    try:
        there = {item["metadata"]["name"] for item in cluster.list("StorageClass")}
        by_hand = {item["spec"].get("storageClassName") for item in cluster.list("PersistentVolume")}
    except Forbidden:
        return  # the claim's events tell
    for name in sorted(wanted - there - by_hand):
        raise NotFound(
            f"there is no StorageClass {name!r}",
            where=f"context {cluster.context!r}",
            expected=f"one of: {', '.join(sorted(there))}; nothing was written"
            if there
            else "a StorageClass",
            next_step="leave the class out for the cluster's default one",
        )


def remove_claims(cluster: Cluster, namespace: str, labels: str, *, data: bool, say: Say) -> int:
    """Delete a workload's own claims; one that its spec retains stays unless `data`.

    Returns:
        How many were deleted.
    """
    gone = 0
    for item in cluster.list("PersistentVolumeClaim", namespace, labels=labels):
        name = item["metadata"]["name"]
        if (item["metadata"].get("labels") or {}).get(RETAIN) == "true" and not data:
            say(f"claim {name} stays with its data; `kubectl delete pvc {name} -n {namespace}` ends both")
        else:
            gone += cluster.delete("PersistentVolumeClaim", name, namespace)
    return gone
