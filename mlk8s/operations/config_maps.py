"""ConfigMaps made from values, for pods that are described elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import UsageError
from mlk8s.operations.values import Value, read_values, write_values
from mlk8s.secrecy import looks_secret, secret_name

Say = Callable[[str], None]


def create_config_map(
    cluster: Cluster, namespace: str, name: str, data: Mapping[str, Value], *, say: Say = print
) -> None:
    """Make or replace a ConfigMap; what is not UTF-8 text becomes `binaryData`.

    Args:
        data: by key: bytes, text, or a Path whose bytes are read.

    Raises:
        UsageError: a name or key that Kubernetes does not take, no data, too much, no such file, or a value
            that looks like a secret: everybody who may read ConfigMaps reads it.
        Conflict: a ConfigMap of that name is somebody else's.
    """
    values = read_values("ConfigMap", name, data)
    texts = {key: text for key, value in values.items() if (text := _text(value)) is not None}
    for key, text in texts.items():
        found = looks_secret(text) or ("the name of a secret" if secret_name(key, text) else None)
        if found is not None:
            raise UsageError(
                f"key {key!r} has {found}",
                where=f"ConfigMap {name!r}",
                expected="no plain secrets",
                next_step=f"`mlk8s secret create {name} -n {namespace}`, or `create_secret`",
            )
    binary = {key: base64.b64encode(value).decode() for key, value in values.items() if key not in texts}
    fields = {key: item for key, item in (("data", texts), ("binaryData", binary)) if item}
    then = "files of pods follow within about a minute, the environment of pods with their next start"
    write_values(cluster, "ConfigMap", name, namespace, then=then, say=say, **fields)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
