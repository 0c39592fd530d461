"""A kustomize base and its overlays: an overlay holds what differs, found by comparing the two renderings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlk8s.render.bundle import to_text, to_yaml
from mlk8s.render.common import Manifest

HEADER = "# Rendered by `mlk8s export`: change the specs and export again; --check tells of edits.\n"
_KUSTOMIZATION = "kustomization.yaml"
Files = dict[str, str]


def base_files(folder: str, groups: Mapping[str, Sequence[Manifest]]) -> Files:
    """Return a folder with one file a group of objects, by the group's name."""
    files = {f"{folder}/{name}.yaml": HEADER + to_yaml(list(items)) for name, items in groups.items()}
    files[f"{folder}/{_KUSTOMIZATION}"] = _kustomization({"resources": [f"{name}.yaml" for name in groups]})
    return files


def overlay_files(folder: str, base: str, below: Sequence[Manifest], wanted: Sequence[Manifest]) -> Files:
    """Return a folder that makes `wanted` out of the objects `below`.

    Args:
        base: path of the base from this folder.
    """
    old, new = ({_key(item): item for item in items} for items in (below, wanted))
    added = [item for key, item in new.items() if key not in old]
    patches: list[Manifest] = []
    for key, item in old.items():
        target = {"kind": item["kind"], "name": item["metadata"]["name"]}
        if key not in new:
            gone = {"$patch": "delete", "apiVersion": item["apiVersion"], "kind": item["kind"]}
            named = {name: text for name, text in item["metadata"].items() if name in ("name", "namespace")}
            gone["metadata"] = named
            patches.append({"target": target, "patch": to_text(gone)})
        elif operations := list(_operations(item, new[key], "")):
            patches.append({"target": target, "patch": to_text(operations)})
    body: Manifest = {"resources": [base, *(["added.yaml"] if added else [])]}
    if patches:
        body["patches"] = patches
    files = {f"{folder}/{_KUSTOMIZATION}": _kustomization(body)}
    if added:
        files[f"{folder}/added.yaml"] = HEADER + to_yaml(added)
    return files


def _kustomization(fields: Manifest) -> str:
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return HEADER + to_text({**head, **fields})


def _key(item: Manifest) -> tuple[str, str, str]:
    metadata = item["metadata"]
    return item["kind"], metadata.get("namespace", ""), metadata["name"]


def _operations(old: Any, new: Any, path: str) -> Iterator[Manifest]:
    """Yield the RFC 6902 operations that make `new` of `old`; lists of another length are replaced whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            place = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
            if key not in new:
                yield {"op": "remove", "path": place}
            else:
                yield from _operations(old[key], new[key], place)
        for key in new:
            if key not in old:
                place = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
                yield {"op": "add", "path": place, "value": new[key]}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _operations(before, after, f"{path}/{number}")
    elif old != new or type(old) is not type(new):
        yield {"op": "replace", "path": path, "value": new}
