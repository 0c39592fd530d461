"""Apply and remove declared objects of every registered kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.kinds import BUILT_IN
from mlk8s.clients.platform import Platform
from mlk8s.errors import Forbidden, NotFound, UsageError
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.batch import require_queue
from mlk8s.operations.claims import require_classes
from mlk8s.operations.facts import facts_for
from mlk8s.operations.preflight import require_namespace, require_permissions, require_storage_secret
from mlk8s.operations.ready import READS, wait_ready
from mlk8s.operations.secrets import require_secrets
from mlk8s.operations.tenant import with_pull_secrets
from mlk8s.render.bundle import ORDER, apply_order
from mlk8s.render.common import KIND, MANAGED_BY, MANAGER, NAME, Manifest
from mlk8s.render.objects import kind_name, kinds, render
from mlk8s.render.volume import RETAIN
from mlk8s.spec.base import Spec

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an apply left in the cluster.

    Attributes:
        kind, name, namespace: of the declared object; the namespace of cluster-wide kinds is None.
        objects: 'Kind/name' of every Kubernetes object, in apply order.
        seconds: from the first request until everything was ready.
    """

    kind: str
    name: str
    namespace: str | None
    objects: tuple[str, ...]
    seconds: float


def planned_objects(cluster: Cluster, platform: Platform, spec: Spec) -> list[Manifest]:
    """Return what `apply_spec` would apply, in order; writes nothing.

    Raises:
        UsageError: the kind cannot be applied, or something it needs is named nowhere.
    """
    namespace = _namespace(spec, cluster)
    spec = with_pull_secrets(cluster, spec, namespace)
    return render(spec, facts_for(cluster, platform, spec, namespace))


def apply_spec(
    cluster: Cluster,
    platform: Platform,
    spec: Spec,
    *,
    wait: bool = True,
    timeout: float = 180.0,
    create_namespace: bool = False,
    say: Say = print,
) -> Applied:
    """Apply a declared object, remove what it no longer asks for, and wait until its pods are ready.

    Raises:
        NotFound, Forbidden, Conflict: before anything is written.
        Rejected: the API server refused an object; what was applied is named.
        RolloutFailed, WaitTimeout: pods do not become ready; see `wait_ready`.
    """
    started = time.monotonic()
    kind, name = kind_name(spec), str(getattr(spec, "name", kind_name(spec).lower()))
    manifests = planned_objects(cluster, platform, spec)
    require_queue(cluster, _namespace(spec, cluster), getattr(spec, "queue", None))
    made = {item["metadata"]["name"] for item in manifests if item["kind"] == "Namespace"}
    places = {place for item in manifests if (place := item["metadata"].get("namespace")) is not None}
    for place in sorted(places - made):
        if require_namespace(cluster, place, create=create_namespace):
            say(f"{name}: namespace {place} made")
    require_kinds(cluster, manifests)
    require_classes(cluster, manifests)
    home = min(places, default=cluster.namespace)
    built_in = [item["kind"] for item in manifests if item["kind"] in BUILT_IN]
    require_permissions(cluster, home, built_in, [read for kind in built_in for read in READS.get(kind, ())])
    require_secrets(cluster, home, spec)
    refuse_foreign(cluster, manifests)
    own = [item for item in manifests if item["kind"] == "Namespace"]
    applied = apply_all(cluster, own, say=say)
    secret = getattr(spec, "storage_secret", None)
    if secret is not None and require_storage_secret(cluster, home, secret):
        say(f"{name}: storage credentials copied into namespace {home}")
    applied += apply_all(cluster, [item for item in manifests if item not in own], say=say)
    _prune(cluster, kind, name, home, manifests, say)
    say(f"{name}: {kind} applied, {len(applied)} objects{f' in namespace {home}' if places else ''}")
    if wait:
        end = started + timeout
        for item in applied:
            wait_ready(cluster, item, timeout=max(1.0, end - time.monotonic()), say=say)
    return Applied(
        kind=kind,
        name=name,
        namespace=home if places else None,
        objects=tuple(f"{item['kind']}/{item['metadata']['name']}" for item in applied),
        seconds=time.monotonic() - started,
    )


def remove_spec(
    cluster: Cluster,
    spec: Spec | str,
    name: str | None = None,
    *,
    namespace: str | None = None,
    say: Say = print,
) -> None:
    """Remove every object of a declared one, in the reverse of the order in which they were applied.

    Args:
        spec: the declared object, or the name of its kind together with `name`.
        namespace: where it is; None means the spec's, else the connection's.

    Raises:
        UsageError: a kind without a name, or no such kind.
        NotFound: there is nothing of that kind and name.
    """
    kind = kind_name(spec) if isinstance(spec, Spec) else spec
    kind = next((item for item in kinds() if item.lower() == kind.lower()), kind)
    if isinstance(spec, Spec):
        name = str(getattr(spec, "name", kind.lower()))
        namespace = namespace or _namespace(spec, cluster)
    if name is None or kind not in kinds():
        raise UsageError(
            f"{kind!r} is no declared kind" if name is not None else f"no name of a {kind} is given",
            expected=f"one of: {', '.join(sorted(kinds()))}; and its name",
        )
    namespace = namespace or cluster.namespace
    found = _of(cluster, kind, name, namespace)
    if not found:
        raise NotFound(
            f"no {kind} is named {name!r}", where=f"namespace {namespace!r} of context {cluster.context!r}"
        )
    _delete(cluster, name, found, say)


def require_kinds(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    """Check that the cluster knows every kind that it might not have, before anything is written.

    Raises:
        NotFound: names the kind and what brings it.
    """
    for api_version, kind in sorted({(item["apiVersion"], item["kind"]) for item in manifests}):
        group = api_version.rpartition("/")[0]
        if "." not in group or group.endswith(_ALWAYS) or cluster.serves(f"{api_version}/{kind}"):
            continue
        raise NotFound(
            f"the cluster has no kind {kind} in {api_version}",
            where=f"context {cluster.context!r}",
            expected=_BRINGS.get(group, "a cluster where its CRD is installed; nothing was written"),
            next_step=f"`kubectl api-resources --api-group={group}` shows what is there",
        )


_ALWAYS = (
    "networking.k8s.io", "rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
    "apiextensions.k8s.io", "discovery.k8s.io", "coordination.k8s.io",
)  # fmt: skip
_BRINGS = {
    "admissionregistration.k8s.io": "Kubernetes 1.30 or later; nothing was written",
    "keda.sh": "KEDA; nothing was written (`mlk8s up --with keda` installs it locally)",
    "autoscaling.k8s.io": "the Vertical Pod Autoscaler; nothing was written (`mlk8s up --with vpa`)",
    "monitoring.coreos.com": "the Prometheus operator's CRDs; nothing was written",
    "gateway.networking.k8s.io": "the Gateway API's CRDs; nothing was written",
    "jobset.x-k8s.io": "JobSet (jobset.sigs.k8s.io); nothing was written",
    "kueue.x-k8s.io": "Kueue (kueue.sigs.k8s.io); nothing was written",
    "resource.k8s.io": "Kubernetes 1.34 or later, with Dynamic Resource Allocation; nothing was written",
}


def _namespace(spec: Spec, cluster: Cluster) -> str:
    return str(getattr(spec, "namespace", None) or cluster.namespace)


def _prune(
    cluster: Cluster, kind: str, name: str, namespace: str, manifests: Sequence[Manifest], say: Say
) -> None:
    """Delete what an earlier form of the spec asked for and this one does not."""
    wanted = {(item["kind"], item["metadata"]["name"]) for item in manifests}
    found = _of(cluster, kind, name, namespace)
    _delete(
        cluster, name, [item for item in found if (item["kind"], item["metadata"]["name"]) not in wanted], say
    )


def _of(cluster: Cluster, kind: str, name: str, namespace: str) -> list[Manifest]:
    """Return the objects that a declared one has in the cluster; what we may not list cannot be ours."""
    labels = f"{KIND}={kind},{NAME}={name},{MANAGED_BY}={MANAGER}"
    found: list[Manifest] = []
    for item in ORDER:
        if item not in BUILT_IN:
            continue
        try:
            found += cluster.list(item, namespace, labels=labels)
        except (Forbidden, NotFound):
            continue
    # A controller's own objects (a Service's EndpointSlice) copy labels and go with their owner.
    return [item for item in found if not item["metadata"].get("ownerReferences")]


def _delete(cluster: Cluster, name: str, found: Sequence[Manifest], say: Say) -> None:
    for item in reversed(apply_order(list(found))):
        metadata = item["metadata"]
        place = f"{item['kind']} {metadata['name']}"
        if (metadata.get("labels") or {}).get(RETAIN) == "true":
            say(f"{name}: {place} is kept, as its spec says")
        elif cluster.delete(
            f"{item['apiVersion']}/{item['kind']}", metadata["name"], metadata.get("namespace")
        ):
            say(f"{name}: {place} deleted")
