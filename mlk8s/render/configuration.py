"""What a container reads, as environment, ConfigMaps and mounts; Secrets only by reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlk8s.render.common import Manifest, digest, manifest
from mlk8s.render.pod import env
from mlk8s.spec.configuration import Configuration

CONFIG_HASH = "mlk8s.dev/config-hash"
"""Annotation of the pods: changes with the Secrets' versions; nothing of their content goes into it."""


def environment(spec: Configuration, own: Mapping[str, str] | None = None) -> list[Manifest]:
    """Return the environment: plain variables, `own` over the user's, then those from Secrets."""
    found = env({**spec.env, **(own or {})})
    for name, reference in spec.secret_env.items():
        secret, _, key = reference.partition("/")
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return found


def config_maps(
    spec: Configuration, container: str, owner: str, namespace: str, labels: Mapping[str, str]
) -> list[Manifest]:
    """Return the ConfigMap of a container's files, none where it has none.

    Its name ends with the hash of its content and it is immutable: a change makes new pods, and an old pod
    that starts again still reads what it was made for.
    """
    if not spec.config_files:
        return []
    name = _config_name(spec, container, owner)
    return [manifest("v1", "ConfigMap", name, namespace, labels, immutable=True, data=file_data(spec))]


def file_data(spec: Configuration) -> dict[str, str]:
    """Return the files as a ConfigMap's data."""
    return {key: spec.config_files[path] for path, key in _keys(spec).items()}


def file_mounts(spec: Configuration, container: str, volume: str | None = None) -> list[Manifest]:
    """Return where the files are seen: each configuration file alone, a Secret as a directory.

    Args:
        volume: what holds `file_data`; None means the volume of a ConfigMap of its own.
    """
    mounts: list[Manifest] = [
        {"name": volume or f"files-{container}", "mountPath": path, "subPath": key, "readOnly": True}
        for path, key in _keys(spec).items()
    ]
    for path, secret in spec.secret_files.items():
        mounts.append({"name": _secret_volume(secret, container), "mountPath": path, "readOnly": True})
    return mounts


def file_volumes(spec: Configuration, container: str, owner: str) -> list[Manifest]:
    """Return the volumes behind those mounts."""
    volumes: list[Manifest] = []
    if spec.config_files:
        source = {"name": _config_name(spec, container, owner), "defaultMode": 0o444}
        volumes.append({"name": f"files-{container}", "configMap": source})
    return volumes + secret_volumes(spec, container)


def secret_volumes(spec: Configuration, container: str) -> list[Manifest]:
    """Return the volumes of the Secrets; a file is for the group, which `fsGroup` makes the container's."""
    return [
        {"name": _secret_volume(secret, container), "secret": {"secretName": secret, "defaultMode": 0o440}}
        for secret in dict.fromkeys(spec.secret_files.values())
    ]


def secrets_annotation(specs: Iterable[Configuration], versions: Mapping[str, str]) -> dict[str, str]:
    """Return the pod template's annotation that changes with the content of the Secrets it refers to.

    Args:
        versions: what changes with a Secret's content, by name; a Secret without one leaves no trace.
    """
    names = {name for spec in specs for name in spec.secrets() if name in versions}
    return {CONFIG_HASH: digest({name: versions[name] for name in names})} if names else {}


def _keys(spec: Configuration) -> dict[str, str]:
    """Return the ConfigMap's key of each path: a key has no '/', and two files may have one name."""
    return {
        path: f"{place}-{path.rpartition('/')[2]}"[:253]
        for place, path in enumerate(sorted(spec.config_files))
    }


def _config_name(spec: Configuration, container: str, owner: str) -> str:
    return f"{owner}-{container}-{digest(spec.config_files)}"


def _secret_volume(secret: str, container: str) -> str:
    """Return the name of a Secret's volume: a DNS label, which a Secret's name need not be."""
    return f"secret-{digest([secret, container])}"
