"""Who decides on a Deployment's replicas: the spec, or an autoscaler; handed over without a jump.

Server-side apply removes a field when its last owner stops naming it, and a Deployment without `replicas` has
one. So a second manager holds the field while it passes from one to the other
(https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership).
"""

from __future__ import annotations

import time

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict, Forbidden
from mlk8s.operations.apply import owner
from mlk8s.render.common import MANAGED_BY, MANAGER, Manifest
from mlk8s.render.keda import HPA_PREFIX

HOLDER = "mlk8s-replicas"
_AUTOSCALER = "kube-controller-manager"
_GONE = 20.0
"""Seconds that KEDA and the garbage collector may take to remove an autoscaler."""
_POLL = 0.2


def hand_over(cluster: Cluster, live: Manifest | None, wanted: Manifest) -> None:
    """Prepare a Deployment for an apply that starts or stops naming its replicas.

    Args:
        live: the Deployment as it is; None when it is not there yet.
        wanted: its manifest.

    Raises:
        Conflict: an autoscaler that mlk8s did not make scales it, and the spec names replicas.
    """
    if live is None:
        return
    owners = _owners(live)
    replicas = wanted["spec"].get("replicas")
    if replicas is None:
        if MANAGER in owners:
            _hold(cluster, live, int(live["spec"]["replicas"]))
        return
    _remove_autoscaler(cluster, live)
    # An autoscaler that is gone still counts as an owner, and would be in conflict with every other number.
    if owners & {HOLDER, _AUTOSCALER} and owners <= {HOLDER, _AUTOSCALER, MANAGER}:
        _hold(cluster, live, int(replicas), force=True)


def as_handed_over(live: Manifest | None, wanted: Manifest) -> Manifest:
    """Return what a dry run has to apply to see what `hand_over` and an apply would leave."""
    if live is None or wanted["kind"] != "Deployment" or "replicas" in wanted["spec"]:
        return wanted
    if MANAGER not in _owners(live):
        return wanted
    return wanted | {"spec": wanted["spec"] | {"replicas": live["spec"]["replicas"]}}


def settle(cluster: Cluster, live: Manifest | None, applied: Manifest, minimum: int | None) -> None:
    """Finish what `hand_over` began.

    Args:
        live: the Deployment before the apply; None when it was not there.
        applied: the Deployment after it.
        minimum: fewest replicas of the autoscaler; None without one.
    """
    if minimum is not None and live is None:
        _hold(cluster, applied, minimum)
    elif minimum is None and HOLDER in _owners(applied):
        _hold(cluster, applied, None)


def _hold(cluster: Cluster, deployment: Manifest, replicas: int | None, *, force: bool = False) -> None:
    """Let the holder own the replicas, or with None no longer."""
    metadata = {key: deployment["metadata"][key] for key in ("name", "namespace")}
    body: Manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    if replicas is not None:
        body["spec"] = {"replicas": replicas}
    cluster.apply(body, manager=HOLDER, force=force)


def _owners(deployment: Manifest) -> set[str]:
    return {
        str(entry.get("manager"))
        for entry in deployment["metadata"].get("managedFields") or []
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    }


def _remove_autoscaler(cluster: Cluster, deployment: Manifest) -> None:
    metadata = deployment["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    # KEDA would make its autoscaler again; a cluster without KEDA has no ScaledObject either.
    try:
        if _is_ours(cluster.find("ScaledObject", name, namespace)):
            cluster.delete("ScaledObject", name, namespace)
            _wait_gone(cluster, "ScaledObject", name, namespace)
            _wait_gone(cluster, "HorizontalPodAutoscaler", HPA_PREFIX + name, namespace)
    except Forbidden:
        pass  # who may not read them has made none
    found = cluster.find("HorizontalPodAutoscaler", name, namespace)
    if found is None:
        return
    if not _is_ours(found):
        raise Conflict(
            f"HorizontalPodAutoscaler {name!r} scales the Deployment and belongs to {owner(found)}",
            where=f"namespace {namespace!r}",
            expected="one source of replicas",
            next_step="delete that autoscaler, or give the service autoscale=Autoscale(...)",
        )
    cluster.delete("HorizontalPodAutoscaler", name, namespace)


def _wait_gone(cluster: Cluster, kind: str, name: str, namespace: str) -> None:
    """Wait until nobody is left who would set another number; not for long where KEDA is away."""
    end = time.monotonic() + _GONE
    while cluster.find(kind, name, namespace) is not None and time.monotonic() < end:
        time.sleep(_POLL)


def _is_ours(found: Manifest | None) -> bool:
    return found is not None and (found["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
