"""PersistentVolumeClaims, and how pods mount them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlk8s.render.common import Manifest, manifest
from mlk8s.spec.volume import Volume

RETAIN = "mlk8s.dev/retain"
"""Label of a claim: `false` lets it go, and its data, with the service or job that it belongs to."""


def claim_spec(volume: Volume) -> Manifest:
    """Return the spec of the claim, which a StatefulSet's volumeClaimTemplates have, too."""
    fields: Manifest = {
        "accessModes": [volume.access],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class is not None:
        fields["storageClassName"] = volume.storage_class
    return fields


def claim(volume: Volume, name: str, namespace: str, labels: Mapping[str, str]) -> Manifest:
    """Return the PersistentVolumeClaim; `mlk8s delete` reads its label to know whether it may go."""
    kept = {**labels, RETAIN: "true" if volume.retain else "false"}
    return manifest("v1", "PersistentVolumeClaim", name, namespace, kept, spec=claim_spec(volume))


def claims(
    volumes: Sequence[Volume], owner: str, namespace: str, labels: Mapping[str, str]
) -> list[Manifest]:
    """Return the claims that a service or job makes: those it does not take from somebody else."""
    return [
        claim(item, item.claim_name(owner), namespace, {**item.labels, **labels})
        for item in volumes
        if item.claim is None
    ]


def pod_volume(volume: Volume, owner: str | None) -> Manifest:
    """Return the entry of the pod's `volumes`; its name is that of the Volume."""
    return {"name": volume.name, "persistentVolumeClaim": {"claimName": volume.claim_name(owner)}}


def mount(volume: Volume) -> Manifest:
    """Return the entry of a container's `volumeMounts`."""
    fields: Manifest = {"name": volume.name, "mountPath": volume.mounted_at}
    if volume.mounted_read_only:
        fields["readOnly"] = True
    return fields
