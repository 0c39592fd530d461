"""Lint what a cluster has, and let a cluster check manifests without keeping them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlk8s.assess.lint import Waiver, lint
from mlk8s.assess.lint.model import Finding
from mlk8s.assess.lint.objects import Obj
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.kinds import BUILT_IN
from mlk8s.errors import ClusterError, Conflict, Forbidden, NotFound, UsageError
from mlk8s.render.common import Manifest

_AROUND = (
    "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "Service", "Ingress", "HTTPRoute",
    "ConfigMap", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount",
    "RoleBinding", "ClusterRoleBinding", "PersistentVolumeClaim",
)  # fmt: skip
_SHORT = {
    "deploy": "Deployment", "sts": "StatefulSet", "ds": "DaemonSet", "po": "Pod", "svc": "Service",
    "ing": "Ingress", "cm": "ConfigMap", "hpa": "HorizontalPodAutoscaler", "pdb": "PodDisruptionBudget",
    "netpol": "NetworkPolicy", "sa": "ServiceAccount", "pvc": "PersistentVolumeClaim", "cj": "CronJob",
    "rs": "ReplicaSet", "ns": "Namespace",
}  # fmt: skip


def kind_of(word: str) -> str:
    """Return the kind that a word means, as kubectl reads it: deployment, deployments, deploy, Deployment.

    Raises:
        UsageError: it is no kind that is built in.
    """
    plain = word.lower()
    if plain in _SHORT:
        return _SHORT[plain]
    for kind, (_, resource) in BUILT_IN.items():
        if plain in (kind.lower(), resource.plural):
            return kind
    raise UsageError(f"there is no kind {word!r}", expected="KIND/NAME, such as deployment/iris")


def lint_object(
    cluster: Cluster, kind: str, name: str, namespace: str | None = None, *, waivers: Iterable[Waiver] = ()
) -> list[Finding]:
    """Return what is wrong with one object of the cluster, seen together with what is around it.

    Raises:
        NotFound: there is no such object.
        Forbidden: it may not be read.
    """
    place = namespace or cluster.namespace
    live = cluster.find(kind, name, place)
    if live is None:
        raise NotFound(
            f"there is no {kind} {name!r}",
            where=f"namespace {place!r} of context {cluster.context!r}",
            next_step=f"`kubectl get {kind.lower()} -n {place}` lists them",
        )
    around = [item for kind in _AROUND for item in _list(cluster, kind, place)]
    others = [item for item in around if item["metadata"].get("uid") != live["metadata"].get("uid")]
    # Pods that a workload makes are judged by its template.
    others = [item for item in others if not item["metadata"].get("ownerReferences")]
    return [item for item in lint([live, *others], waivers=waivers) if item.place <= 0]


def _list(cluster: Cluster, kind: str, namespace: str) -> list[Manifest]:
    """Return the objects of a kind; none where they may not be read or the cluster has no such kind."""
    try:
        found = cluster.list(kind, namespace)
    except (Forbidden, NotFound):
        return []
    api_version = BUILT_IN[kind][0]
    return [{"apiVersion": api_version, "kind": kind, **item} for item in found]


def server_findings(cluster: Cluster, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """Yield what the API server says about each manifest: schema, admission, quota; nothing is kept.

    What lies in a namespace, or is of a kind, that the same manifests would only make cannot be asked.

    Raises:
        Unreachable, Forbidden: nothing can be asked.
    """
    made = {item["metadata"]["name"] for item in manifests if item.get("kind") == "Namespace"}
    kinds = {
        item["spec"]["names"]["kind"] for item in manifests if item.get("kind") == "CustomResourceDefinition"
    }
    for place, item in enumerate(manifests):
        title = Obj(place, item).title
        try:
            cluster.apply(item, dry_run=True)
        except NotFound as error:
            if item["kind"] in kinds or item["metadata"].get("namespace") in made:
                continue
            yield _said(title, error, place)
        except Conflict as error:
            yield _said(title, error, place, "take the field over on purpose, or leave it to its owner")
        except ClusterError as error:
            if error.exit_code == 5:
                raise
            yield _said(title, error, place)


def _said(title: str, error: ClusterError, place: int, fix: str | None = None) -> Finding:
    sentence = "the API server says: " + " ".join(error.what.split())
    return Finding(
        "server", "error", title, "", sentence, fix or error.next_step or "correct the object", place
    )
