"""Before an autoscaler is applied: the cluster has what it needs, and no other one has the same workload."""

from __future__ import annotations

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict, Forbidden, NotFound
from mlk8s.operations.apply import owner
from mlk8s.render import keda
from mlk8s.render import vertical as vertical_api
from mlk8s.render.bluegreen import identity
from mlk8s.render.common import MANAGED_BY, MANAGER, Manifest
from mlk8s.spec.service import ModelService

KEDA = "/apis/keda.sh/v1alpha1"
VPA = "/apis/autoscaling.k8s.io/v1"
EXTERNAL = "v1beta1.external.metrics.k8s.io"
_RIVALS = {
    "HorizontalPodAutoscaler": "scaleTargetRef",
    "ScaledObject": "scaleTargetRef",
    "VerticalPodAutoscaler": "targetRef",
}
"""Kinds of autoscalers, and the field that names what each scales."""


def require_scalers(cluster: Cluster, spec: ModelService, namespace: str) -> None:
    """Check that the autoscalers of a spec can work here.

    Raises:
        NotFound: the cluster lacks KEDA, VPA, or an API of external metrics.
        Conflict: another autoscaler has the same Deployment, or KEDA serves the external metrics.
    """
    autoscale, vertical = spec.autoscale, spec.vertical
    if autoscale is None and vertical is None:
        return
    served: list[str] = ["HorizontalPodAutoscaler"]
    if autoscale is not None and autoscale.scaler == "keda":
        _require_kind(cluster, f"{keda.API}/ScaledObject", "KEDA", "autoscale.scaler 'keda'", "keda")
        served.append("ScaledObject")
    elif autoscale is not None and any(
        item.declared and item.declared.kind == "external" for item in autoscale.followed
    ):
        require_external_metrics(cluster)
    if vertical is not None:
        _require_kind(cluster, f"{vertical_api.API}/VerticalPodAutoscaler", "VPA", "vertical", "vpa")
        served.append("VerticalPodAutoscaler")
    own = {spec.name}
    if spec.strategy == "BlueGreen":  # either colour may be the live one tomorrow
        own.add(identity(spec.name, "green").instance)
    for kind in served:
        for item in cluster.list(kind, namespace):
            _refuse_rival(item, kind, own, namespace)


def _require_kind(cluster: Cluster, kind: str, what: str, field: str, part: str) -> None:
    if not cluster.serves(kind):
        raise NotFound(
            f"the cluster has no {what}, which {field} needs",
            where=f"context {cluster.context!r}",
            expected=f"the kind {kind}",
            next_step=f"`mlk8s up --with {part}` for a local cluster, or its Helm chart for another",
        )


def require_external_metrics(cluster: Cluster) -> None:
    """Check who serves external metrics: there is one API of them in a cluster, and one server of it.

    Raises:
        NotFound: nobody does.
        Conflict: KEDA does, which knows only those of its own ScaledObjects.
    """
    try:
        found = cluster.find("APIService", EXTERNAL)
    except Forbidden:
        return  # then the HPA tells
    if found is None:
        raise NotFound(
            "the cluster serves no external metrics",
            where=f"context {cluster.context!r}",
            expected=f"APIService {EXTERNAL}",
            next_step="install prometheus-adapter (`mlk8s up`) or KEDA (`mlk8s up --with keda`)",
        )
    server = str((found["spec"].get("service") or {}).get("name", ""))
    if "keda" in server:
        raise Conflict(
            "KEDA serves this cluster's external metrics, and only those of its own ScaledObjects",
            where=f"APIService {EXTERNAL}",
            expected="an external metric of autoscale with scaler='keda'",
            next_step="give Autoscale(scaler='keda', ...): the same metrics, asked for by KEDA",
        )


def _refuse_rival(item: Manifest, kind: str, deployments: set[str], namespace: str) -> None:
    target = item["spec"].get(_RIVALS[kind]) or {}
    ours = (item["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
    name = target.get("name")
    if ours or target.get("kind", "Deployment") != "Deployment" or name not in deployments:
        return
    raise Conflict(
        f"{kind} {item['metadata']['name']!r} scales Deployment {name!r} and belongs to {owner(item)}",
        where=f"namespace {namespace!r}",
        expected="one autoscaler of a kind for one Deployment; nothing was written",
        next_step=f"`kubectl delete {kind.lower()} {item['metadata']['name']} -n {namespace}`, or leave "
        "autoscale and vertical out of the spec",
    )
