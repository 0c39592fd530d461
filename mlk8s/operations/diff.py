"""What an apply would change in the cluster: a server-side dry run beside what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlk8s.assess.difference import Difference, difference
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import NotFound, UsageError
from mlk8s.operations.bluegreen_state import live_deployment
from mlk8s.operations.deploy import OPTIONAL
from mlk8s.operations.dry_run import manifests
from mlk8s.operations.parallel import in_parallel
from mlk8s.operations.replicas import as_handed_over
from mlk8s.render.common import INSTANCE, MANAGED_BY, MANAGER, Manifest
from mlk8s.render.stored import stored_spec
from mlk8s.spec.base import Spec
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]
_LOOKS = 5
"""Tries to see an object and its dry run without a controller's write in between, which would be shown."""


def diff_manifests(cluster: Cluster, wanted: Sequence[Manifest]) -> list[Difference]:
    """Return what applying the manifests would change, in their order; nothing is kept.

    What another manager owns counts as if it were taken over: `apply` itself would refuse it.

    Raises:
        NotFound: the cluster has no such kind or namespace.
        Rejected, Forbidden: the API server refused the dry run of an object.
    """

    def look(place: int) -> Difference | None:
        item = wanted[place]
        metadata = item["metadata"]
        kind = f"{item['apiVersion']}/{item['kind']}"
        for _ in range(_LOOKS):
            live = cluster.find(kind, metadata["name"], metadata.get("namespace"))
            would = cluster.apply(as_handed_over(live, item), dry_run=True, force=True)
            found = difference(live, would)
            if found is None or live is None or _version(live) == _version(would):
                break
        return found

    found = dict(in_parallel(look, range(len(wanted))))
    return [item for place in sorted(found) if (item := found[place]) is not None]


def _version(item: Manifest) -> str:
    """Return the resourceVersion, which a dry run leaves as it is."""
    return str(item["metadata"].get("resourceVersion"))


def diff_specs(
    cluster: Cluster, platform: Platform, specs: Sequence[Spec], *, say: Say = print
) -> list[Difference]:
    """Return what applying the specs would change, the objects that a model service would lose included.

    Raises:
        StorageError: a model is not in the storage, or its digest differs.
        NotFound, Rejected, Forbidden: as `diff_manifests`.
    """
    wanted = manifests(cluster, platform, specs, say=say)
    found = diff_manifests(cluster, wanted)
    for spec in specs:
        if isinstance(spec, ModelService):
            found += _lost(cluster, spec, wanted)
    return found


def diff_service(cluster: Cluster, platform: Platform, name: str, *, say: Say = print) -> list[Difference]:
    """Return how a model service differs from its own spec: what somebody changed by hand since its deploy.

    Raises:
        NotFound: there is no such model service.
        UsageError: the Deployment carries no spec.
    """
    if cluster.find("Deployment", name) is None:
        raise NotFound(f"no model service is named {name!r}", where=f"namespace {cluster.namespace!r}")
    spec = stored_spec(live_deployment(cluster, name, cluster.namespace))
    if spec is None:
        raise UsageError(f"Deployment {name} was not made by mlk8s", expected="a model service, or -f FILE")
    return diff_specs(cluster, platform, [spec], say=say)


def _lost(cluster: Cluster, spec: ModelService, wanted: Sequence[Manifest]) -> list[Difference]:
    """Return the objects that the service has and that its deploy would remove."""
    namespace = spec.namespace or cluster.namespace
    names = {(item["kind"], item["metadata"]["name"]) for item in wanted}
    found = []
    for kind in OPTIONAL:
        if (kind, spec.name) in names:
            continue
        try:
            live = cluster.find(kind, spec.name, namespace)
        except NotFound:  # a kind that this cluster does not have
            continue
        labels = live["metadata"].get("labels") or {} if live is not None else {}
        gone = difference(live, None)
        if gone is not None and labels.get(MANAGED_BY) == MANAGER and labels.get(INSTANCE) == spec.name:
            found.append(gone)
    return found
