"""Values that pods read, by key: checked, and written as a ConfigMap or Secret over nobody else's object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import UsageError
from mlk8s.operations.apply import refuse_foreign
from mlk8s.render.common import MANAGED_BY, MANAGER, NAME, Manifest, manifest
from mlk8s.spec.configuration import secret_key
from mlk8s.spec.volume import dns_subdomain

Say = Callable[[str], None]
Value = bytes | str | Path

_LIMIT = 1_048_576  # bytes of data; https://kubernetes.io/docs/concepts/configuration/secret/


def read_values(kind: str, name: str, data: Mapping[str, Value]) -> dict[str, bytes]:
    """Return the bytes of each key.

    Args:
        kind: `ConfigMap` or `Secret`; they have the same limits.
        data: by key: bytes, text, or a Path whose bytes are read.

    Raises:
        UsageError: a name or key that Kubernetes does not take, no data, too much, or no such file.
    """
    values = {key: _bytes(key, value) for key, value in data.items()}
    try:
        dns_subdomain(name)
        for key in values:
            secret_key(key)
    except ValueError as error:
        raise UsageError(str(error), where=f"{kind} {name!r}") from None
    size = sum(len(value) for value in values.values())
    if not values or size > _LIMIT:
        raise UsageError(
            f"the {kind} has {len(values)} keys and {size} bytes",
            where=f"{kind} {name!r}",
            expected=f"at least one key, and at most {_LIMIT} bytes",
        )
    return values


def write_values(
    cluster: Cluster, kind: str, name: str, namespace: str, *, then: str, say: Say, **fields: Any
) -> None:
    """Make the object, or replace one that mlk8s made for the same name; the keys are told, and no value.

    Args:
        then: what a replacement means to the pods.
        fields: `data`, and what else the kind has.

    Raises:
        Conflict: an object of that name is somebody else's.
    """
    wanted = manifest("v1", kind, name, namespace, {MANAGED_BY: MANAGER, NAME: name}, **fields)
    refuse_foreign(cluster, [wanted])
    live = cluster.find(kind, name, namespace)
    after = cluster.apply(wanted)
    keys = _keys(wanted)
    if live is None:
        say(f"{kind} {namespace}/{name} made, keys: {', '.join(keys)}")
    elif live["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
        say(f"{kind} {namespace}/{name} unchanged")
    else:
        gone = sorted(set(_keys(live)) - set(keys))
        without = f", without {', '.join(gone)}, which it had" if gone else ""
        say(f"{kind} {namespace}/{name} replaced, keys: {', '.join(keys)}{without}; {then}")


def _keys(item: Manifest) -> list[str]:
    return [key for field in ("data", "binaryData") for key in item.get(field) or {}]


def _bytes(key: str, value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Path):
        try:
            return value.read_bytes()
        except OSError as error:
            what = f"cannot read the file of key {key!r}: {error.strerror}"
            raise UsageError(what, where=str(value)) from None
    what = f"the value of key {key!r} is of type {type(value).__name__}"
    raise UsageError(what, expected="bytes, str or Path")
