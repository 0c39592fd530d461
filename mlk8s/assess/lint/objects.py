"""Manifests as rules see them: pods and containers found, selectors answered quickly, no shape trusted.

What is not of the expected type reads as empty: the schema check says that it is wrong, a rule must not fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any

from mlk8s.assess.lint.model import Keys, Manifest
from mlk8s.spec.quantity import parse_quantity

POD_AT: dict[str, Keys] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
SERVING = ("Deployment", "StatefulSet")
LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")


def at(body: Any, *keys: str | int) -> Any:
    """Return what stands at a path, None where nothing does."""
    for key in keys:
        if isinstance(body, dict):
            body = body.get(key)
        elif isinstance(body, list) and isinstance(key, int) and key < len(body):
            body = body[key]
        else:
            return None
    return body


def mapping(body: Any, *keys: str | int) -> Manifest:
    """Return the mapping at a path; empty where there is none."""
    found = at(body, *keys)
    return found if isinstance(found, dict) else {}


def entries(body: Any, *keys: str | int) -> list[tuple[int, Manifest]]:
    """Return the mappings in the list at a path with their places; empty where there is none."""
    found = at(body, *keys)
    return (
        [(i, item) for i, item in enumerate(found) if isinstance(item, dict)]
        if isinstance(found, list)
        else []
    )


def strings(body: Any, *keys: str | int) -> list[str]:
    """Return the strings in the list at a path."""
    found = at(body, *keys)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def text(body: Any, *keys: str | int) -> str:
    """Return the string at a path; empty where there is none."""
    found = at(body, *keys)
    return found if isinstance(found, str) else ""


def number(body: Any, *keys: str | int) -> int | None:
    """Return the whole number at a path."""
    found = at(body, *keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


@lru_cache(4096)
def amount(value: Any) -> float | None:
    """Return a quantity as a number; None where it is none."""
    try:
        return float(parse_quantity(str(value)))
    except ValueError:
        return None


class Obj:
    """One manifest: its names, and the pod that it makes."""

    def __init__(self, index: int, body: Manifest) -> None:
        self.index = index
        self.body = body
        self.kind = text(body, "kind")
        self.api_version = text(body, "apiVersion")
        self.metadata = mapping(body, "metadata")
        self.name = text(self.metadata, "name") or text(self.metadata, "generateName")
        self.namespace = text(self.metadata, "namespace")
        self.spec = mapping(body, "spec")

    @property
    def title(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}".strip()

    @property
    def owned(self) -> bool:
        return bool(self.metadata.get("ownerReferences"))

    @cached_property
    def pod(self) -> Pod | None:
        keys = POD_AT.get(self.kind)
        return Pod(self, keys) if keys is not None else None


class Pod:
    """A pod template, or a pod."""

    def __init__(self, obj: Obj, keys: Keys) -> None:
        template = mapping(obj.body, *keys)
        self.obj = obj
        self.metadata_keys: Keys = (*keys, "metadata")
        self.keys: Keys = (*keys, "spec")
        self.spec = mapping(template, "spec")
        self.security = mapping(self.spec, "securityContext")
        self.labels = {
            key: value
            for key, value in mapping(template, "metadata", "labels").items()
            if isinstance(value, str)
        }
        self.annotations = mapping(template, "metadata", "annotations")
        self.containers = [
            Container(self, (part, i), item)
            for part in ("initContainers", "containers", "ephemeralContainers")
            for i, item in entries(self.spec, part)
        ]

    @property
    def main(self) -> list[Container]:
        return [item for item in self.containers if not item.init]

    @property
    def account(self) -> str:
        return text(self.spec, "serviceAccountName") or text(self.spec, "serviceAccount") or "default"

    def volumes(self) -> list[tuple[int, Manifest]]:
        return entries(self.spec, "volumes")


class Container:
    """One container of a pod; `keys` lead to it from the pod's spec."""

    def __init__(self, pod: Pod, keys: Keys, body: Manifest) -> None:
        self.pod = pod
        self.keys = keys
        self.body = body
        self.name = text(body, "name")
        self.init = keys[0] == "initContainers"
        self.sidecar = self.init and body.get("restartPolicy") == "Always"
        self.security = mapping(body, "securityContext")

    def effective(self, field: str) -> Any:
        """Return a field of the security context: the container's, else the pod's."""
        own = self.security.get(field)
        return self.pod.security.get(field) if own is None else own

    def ports(self) -> list[tuple[int, Manifest]]:
        return entries(self.body, "ports")


class Bundle:
    """All manifests that are checked together."""

    def __init__(self, manifests: Iterable[Manifest], *, whole: bool = False) -> None:
        self.whole = whole
        self.objects = [Obj(index, body) for index, body in enumerate(manifests)]
        self.by_kind: dict[str, list[Obj]] = {}
        self.by_name: dict[tuple[str, str, str], Obj] = {}
        self.pods: list[Pod] = []
        self._labelled: dict[tuple[str, str, str], set[int]] = {}
        self._here: dict[str, set[int]] = {}
        for obj in self.objects:
            self.by_kind.setdefault(obj.kind, []).append(obj)
            self.by_name.setdefault((obj.kind, obj.namespace, obj.name), obj)
            if obj.pod is not None:
                self._note(obj.pod)

    def _note(self, pod: Pod) -> None:
        place = len(self.pods)
        self.pods.append(pod)
        self._here.setdefault(pod.obj.namespace, set()).add(place)
        for key, value in pod.labels.items():
            self._labelled.setdefault((pod.obj.namespace, key, value), set()).add(place)

    def kinds(self, *kinds: str) -> Iterator[Obj]:
        """Yield the objects of some kinds."""
        for kind in kinds:
            yield from self.by_kind.get(kind, ())

    def find(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Return an object by its name."""
        return self.by_name.get((kind, namespace, name))

    def knows(self, namespace: str, *kinds: str) -> bool:
        """Whether the set can say that an object is missing: it is whole, or has one of that kind there."""
        return self.whole or any(item.namespace == namespace for item in self.kinds(*kinds))

    def has_pods(self, namespace: str) -> bool:
        """Whether the set can say that a selector selects nothing."""
        return self.whole or namespace in self._here

    def selected(self, namespace: str, selector: Any) -> list[Pod]:
        """Return the pods of a namespace that a label selector (LabelSelector, or a plain map) selects."""
        if not isinstance(selector, dict):
            return []
        plain = "matchLabels" not in selector and "matchExpressions" not in selector
        wanted = selector if plain else mapping(selector, "matchLabels")
        places = self._here.get(namespace, set())
        for key, value in wanted.items():
            places = places & self._labelled.get((namespace, str(key), str(value)), set())
            if not places:
                return []
        found = [self.pods[place] for place in sorted(places)]
        for _, item in () if plain else entries(selector, "matchExpressions"):
            found = [pod for pod in found if _matches(pod.labels, item)]
        return found


def _matches(labels: dict[str, str], expression: Manifest) -> bool:
    value = labels.get(text(expression, "key"))
    values = strings(expression, "values")
    return {
        "In": value is not None and value in values,
        "NotIn": value is None or value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(text(expression, "operator"), True)
