"""Secrets that pods refer to: checked before a deploy, made from values that never stand in a spec."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Forbidden, NotFound
from mlk8s.operations.values import Value, read_values, write_values
from mlk8s.spec.base import Spec
from mlk8s.spec.configuration import referenced_secrets

Say = Callable[[str], None]


def secret_versions(cluster: Cluster, namespace: str, names: Iterable[str]) -> dict[str, str]:
    """Return what changes with each Secret's content: its uid and resourceVersion, nothing of the content.

    A hash of the content would let everybody who reads the Deployment try out short secrets. A Secret that is
    not there, or may not be read, is left out.
    """
    found: dict[str, str] = {}
    for name in names:
        try:
            item = cluster.find("Secret", name, namespace)
        except Forbidden:
            continue
        if item is not None:
            found[name] = f"{item['metadata']['uid']}/{item['metadata']['resourceVersion']}"
    return found


def require_secrets(cluster: Cluster, namespace: str, spec: Spec) -> None:
    """Check that every Secret that a spec refers to is there and has the keys.

    Raises:
        NotFound: one is not, or lacks a key; names the keys that it has, never a value.
    """
    for name, keys in referenced_secrets(spec).items():
        try:
            found = cluster.find("Secret", name, namespace)
        except Forbidden:
            continue  # the pod tells, if it is not there
        there = sorted((found or {}).get("data") or {})
        lacking = sorted(keys - set(there))
        if found is not None and not lacking:
            continue
        if found is None:
            what, expected = f"Secret {name!r} is not there", _others(cluster, namespace)
            next_step = (
                f"`mlk8s secret create {name} -n {namespace} --from-file {(*sorted(keys), 'KEY')[0]}=FILE`"
            )
        else:
            what = f"Secret {name!r} has no key {' and no key '.join(map(repr, lacking))}"
            expected = f"one of its keys: {', '.join(there)}" if there else "a Secret with keys; it has none"
            next_step = (
                "name one of them, or make the Secret again with all of its keys: "
                f"`mlk8s secret create {name} -n {namespace}` replaces the whole"
            )
        raise NotFound(
            what,
            where=f"namespace {namespace!r}",
            expected=expected,
            next_step=next_step,
        )


def _others(cluster: Cluster, namespace: str) -> str | None:
    try:
        names = [item["metadata"]["name"] for item in cluster.list("Secret", namespace)]
    except Forbidden:
        return None
    return f"one of: {', '.join(names)}" if names else "a Secret; the namespace has none"


def create_secret(
    cluster: Cluster, namespace: str, name: str, data: Mapping[str, Value], *, say: Say = print
) -> None:
    """Make or replace a Secret; its values are sent to the API server and shown nowhere.

    Args:
        data: by key: bytes, text, or a Path whose bytes are read.

    Raises:
        UsageError: a name or key that Kubernetes does not take, no data, too much, or no such file.
        Conflict: a Secret of that name is somebody else's.
    """
    values = read_values("Secret", name, data)
    write_values(
        cluster, "Secret", name, namespace, then="a deploy gives it to the pods", say=say, type="Opaque",
        data={key: base64.b64encode(value).decode() for key, value in values.items()},
    )  # fmt: skip
