"""Write manifests in order, never over somebody else's object, and say what was written when one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict, Mlk8sError
from mlk8s.render.common import KIND, MANAGED_BY, MANAGER, NAME, Manifest

Say = Callable[[str], None]


def refuse_foreign(cluster: Cluster, manifests: Sequence[Manifest]) -> None:
    """Check that every object is either not there yet or ours, before the first is written.

    Raises:
        Conflict: one is not; names it and its owner.
    """
    for item in manifests:
        metadata = item["metadata"]
        kind = f"{item['apiVersion']}/{item['kind']}"
        live = cluster.find(kind, metadata["name"], metadata.get("namespace"))
        if live is not None and not _same_owner(live, metadata["labels"]):
            raise Conflict(
                f"{item['kind']} {metadata['name']!r} is there already and belongs to {owner(live)}",
                where=_place(metadata, cluster),
                expected=f"no object of that name, or one that mlk8s made for {_whom(metadata['labels'])}; "
                "nothing was written",
                next_step="choose another name or namespace, or delete the object",
            )


def _whom(labels: Mapping[str, str]) -> str:
    return " ".join(labels[key] for key in (KIND, NAME) if labels.get(key)) or "it"


def _same_owner(live: Manifest, labels: Mapping[str, str]) -> bool:
    found = live["metadata"].get("labels") or {}
    return found.get(MANAGED_BY) == MANAGER and all(found.get(key) == labels.get(key) for key in (NAME, KIND))


def _place(metadata: Mapping[str, Any], cluster: Cluster) -> str:
    namespace = metadata.get("namespace")
    return f"{f'namespace {namespace!r} of ' if namespace else ''}context {cluster.context!r}"


def owner(live: Mapping[str, Any]) -> str:
    """Return who an object belongs to, by its owner, its labels or the tool that wrote it."""
    metadata = live["metadata"]
    owners = [f"{item['kind']} {item['name']}" for item in metadata.get("ownerReferences") or []]
    if owners:
        return ", ".join(owners)
    labels = metadata.get("labels") or {}
    release = (metadata.get("annotations") or {}).get("meta.helm.sh/release-name")
    if release:
        return f"Helm release {release!r}"
    if labels.get(MANAGED_BY):
        part = (
            f" ({f'{labels[KIND]} ' if labels.get(KIND) else ''}{labels[NAME]})" if labels.get(NAME) else ""
        )
        return f"{labels[MANAGED_BY]}{part}"
    managers = [
        entry["manager"]
        for entry in metadata.get("managedFields") or []
        if entry.get("manager") and not entry.get("subresource")
    ]
    return f"somebody who used {', '.join(dict.fromkeys(managers))}" if managers else "somebody else"


def apply_all(
    cluster: Cluster, manifests: Sequence[Manifest], *, dry_run: bool = False, say: Say = print
) -> list[Manifest]:
    """Apply the manifests in order and return the objects as the server has them.

    Raises:
        ClusterError: the server's refusal, with what was applied before it and what was not.
    """
    done: list[Manifest] = []
    try:
        for item in manifests:
            done.append(cluster.apply(item, dry_run=dry_run))
    except KeyboardInterrupt:
        say(_progress(manifests, len(done)) + "; running the command again goes on from here")
        raise
    except Mlk8sError as error:
        failed = manifests[len(done)]
        raise type(error)(
            f"{_name(failed)} was refused: {error.what}\n  {_progress(manifests, len(done))}",
            where=error.where,
            expected=error.expected,
            next_step=error.next_step
            or "correct the cause, then run the command again: it goes on from here",
        ) from None
    return done


def _progress(manifests: Sequence[Manifest], done: int) -> str:
    names = [_name(item) for item in manifests]
    applied, left = names[:done], names[done:]
    return f"applied: {', '.join(applied) or 'nothing'}; not applied: {', '.join(left) or 'nothing'}"


def _name(item: Manifest) -> str:
    return f"{item['kind']} {item['metadata']['name']}"
