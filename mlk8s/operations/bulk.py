"""Apply many plain manifests: in order, level by level, each level over several connections at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mlk8s.clients.cluster import FIELD_MANAGER, Cluster
from mlk8s.errors import Conflict, Mlk8sError, NotFound, UsageError, WaitTimeout
from mlk8s.operations.apply import owner
from mlk8s.operations.objects import require_kinds
from mlk8s.operations.parallel import in_parallel
from mlk8s.render.bundle import ORDER, apply_order
from mlk8s.render.common import Manifest

Say = Callable[[str], None]

_CRD = "CustomResourceDefinition"
_ESTABLISHED = 30.0  # seconds a CustomResourceDefinition may take to be served
_WRITTEN = ("resourceVersion", "generation", "managedFields")
_SHARED = {("Namespace", "default"), ("Namespace", "kube-system")}


@dataclass(frozen=True)
class Applied:
    """One object after its apply; `change` is created, configured or unchanged."""

    object: str
    change: str


def apply_manifests(
    cluster: Cluster,
    manifests: Sequence[Manifest],
    *,
    dry_run: bool = False,
    take_over: bool = False,
    say: Say = print,
) -> list[Applied]:
    """Apply plain manifests by server-side apply, and return what became of each, in the order of the apply.

    Nothing is written before every kind is known and no object is somebody else's. Definitions of kinds
    come first and are waited for; then each level of the apply order, its objects over several connections.

    Args:
        dry_run: let the API server check and keep nothing.
        take_over: objects and fields of others become ours.

    Raises:
        UsageError: an object has no name, or stands in the list twice.
        NotFound: the cluster has no such kind or namespace.
        Conflict: an object or field belongs to somebody else, who is named.
        Rejected, Forbidden: the API server refused an object; the message says how many were applied.
    """
    ordered = apply_order([_placed(cluster, item) for item in manifests])
    _require_names(ordered)
    made = {_kind_of_crd(item) for item in ordered if item["kind"] == _CRD}
    known = [item for item in ordered if _key(item)[0] not in made]
    _require_kinds(cluster, known)
    live = _live(cluster, known)
    if not take_over:
        _refuse(cluster, known, live)
    rank = {kind: place for place, kind in enumerate(ORDER)}
    done: list[Applied] = []

    def write(item: Manifest) -> Manifest:
        try:
            return cluster.apply(item, dry_run=dry_run, force=take_over)
        except Mlk8sError as error:
            raise type(error)(
                f"{_title(item)} was refused: {error.what}",
                where=error.where, expected=error.expected, next_step=error.next_step,
            ) from None  # fmt: skip

    for _, level in groupby(ordered, key=lambda item: rank.get(item["kind"], len(rank))):
        batch = list(level)
        if dry_run:
            batch = [item for item in batch if _key(item)[0] not in made]
        try:
            for item, result in in_parallel(write, batch):
                before = live.get(_key(item))
                done.append(Applied(_title(item), _change(before, result)))
        except Mlk8sError as error:
            raise type(error)(
                f"{error.what}\n  {len(done)} of {len(ordered)} objects were applied",
                where=error.where,
                expected=error.expected,
                next_step=error.next_step or "correct the cause, then run the command again: it converges",
            ) from None
        if batch and batch[0]["kind"] == _CRD and not dry_run:
            for item in batch:
                _wait_established(cluster, item["metadata"]["name"])
        if len(ordered) > 50 and batch:
            say(f"{len(done)} of {len(ordered)} objects: {batch[0]['kind']}")
    return done


def _placed(cluster: Cluster, item: Manifest) -> Manifest:
    """Return the manifest without what only a live object has."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise UsageError(f"{item.get('kind')} has no metadata.name", expected="a name: an apply needs one")
    kept = {
        key: value
        for key, value in metadata.items()
        if key not in ("managedFields", "resourceVersion", "uid")
    }
    if "namespace" in kept and not kept["namespace"]:
        kept["namespace"] = cluster.namespace
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": kept}


def _key(item: Manifest) -> tuple[str, str, str]:
    metadata = item["metadata"]
    return f"{item['apiVersion']}/{item['kind']}", metadata.get("namespace") or "", metadata["name"]


def _title(item: Manifest) -> str:
    _, namespace, name = _key(item)
    return f"{item['kind']} {namespace}/{name}" if namespace else f"{item['kind']} {name}"


def _kind_of_crd(item: Manifest) -> str:
    spec: dict[str, Any] = item.get("spec") or {}
    versions = spec.get("versions") or [{}]
    return f"{spec.get('group')}/{versions[0].get('name')}/{(spec.get('names') or {}).get('kind')}"


def _require_names(manifests: Iterable[Manifest]) -> None:
    seen = set()
    for item in manifests:
        if _key(item) in seen:
            raise UsageError(f"{_title(item)} stands in the list twice", expected="each object once")
        seen.add(_key(item))


def _require_kinds(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    """Check that the cluster serves every kind.

    Raises:
        NotFound: names the kind; nothing was written.
    """
    for kind in sorted({_key(item)[0] for item in manifests}):
        if not cluster.serves(kind):
            version, _, word = kind.rpartition("/")
            require_kinds(cluster, [item for item in manifests if _key(item)[0] == kind])
            raise NotFound(
                f"the cluster has no kind {word} in {version}",
                where=f"context {cluster.context!r}",
                expected="a kind that it has; nothing was written",
                next_step="`mlk8s lint` names the nearest right one",
            )


def _live(cluster: Cluster, manifests: Sequence[Manifest]) -> dict[tuple[str, str, str], Manifest]:
    """Return the metadata of those objects that are there: one request for each kind and namespace.

    Raises:
        NotFound: the cluster has no such kind.
    """
    wanted = {_key(item) for item in manifests}
    groups: dict[tuple[str, str], set[str]] = {}
    for kind, namespace, name in wanted:
        groups.setdefault((kind, namespace), set()).add(name)

    def look(group: tuple[str, str]) -> list[Manifest]:
        kind, namespace = group
        names = groups[group]
        if len(names) <= 2:
            return [
                item for name in names if (item := cluster.find(kind, name, namespace or None)) is not None
            ]
        return cluster.list(kind, namespace or None, metadata_only=True)

    found = {}
    for (kind, _), items in in_parallel(look, groups):
        for item in items:
            metadata = item["metadata"]
            # Of a manifest without a namespace it is the connection's own.
            for namespace in (metadata.get("namespace") or "", ""):
                if (kind, namespace, metadata["name"]) in wanted:
                    found[kind, namespace, metadata["name"]] = item
    return found


def _refuse(
    cluster: Cluster, manifests: Sequence[Manifest], live: dict[tuple[str, str, str], Manifest]
) -> None:
    """Refuse objects that this field manager never applied.

    Raises:
        Conflict: names the object and its owner.
    """
    for item in manifests:
        there = live.get(_key(item))
        if there is None or (item["kind"], item["metadata"]["name"]) in _SHARED:
            continue
        managers = {entry.get("manager") for entry in there["metadata"].get("managedFields") or ()}
        # Of an object without a field of its own, such as a bare ServiceAccount, nothing is overwritten.
        bare = not managers and not there["metadata"].get("ownerReferences")
        if FIELD_MANAGER not in managers and not bare:
            raise Conflict(
                f"{_title(item)} is there already and belongs to {owner(there)}",
                where=f"context {cluster.context!r}",
                expected="no object of that name, or one that mlk8s applied before; nothing was written",
                next_step="choose another name, or --take-over where it is to be managed from here",
            )


def _change(before: Manifest | None, after: Manifest) -> str:
    if before is None:
        return "created"
    return "unchanged" if _declared(before) == _declared(after) else "configured"


def _declared(body: Manifest) -> Manifest:
    """Return an object without what controllers write meanwhile: a status changes its version, too."""
    own = {name: value for name, value in body["metadata"].items() if name not in _WRITTEN}
    own["annotations"] = {
        name: value
        for name, value in (own.get("annotations") or {}).items()
        if not name.startswith("deployment.kubernetes.io/")
    }
    return {name: value for name, value in body.items() if name != "status"} | {"metadata": own}


def _wait_established(cluster: Cluster, name: str) -> None:
    """Wait until a kind is served.

    Raises:
        WaitTimeout: it is not within half a minute.
    """
    end = time.monotonic() + _ESTABLISHED
    while time.monotonic() < end:
        found = cluster.find(_CRD, name)
        conditions = ((found or {}).get("status") or {}).get("conditions") or []
        if any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
            return
        time.sleep(0.1)
    raise WaitTimeout(
        f"{_CRD} {name} is not served after {_ESTABLISHED:g} s", where=f"context {cluster.context!r}"
    )
