"""PersistentVolumeClaims, and how pods mount them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlk8s.errors import UsageError
from mlk8s.render.common import NAME, Manifest, manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.volume import Volume

RETAIN = "mlk8s.dev/retain"
"""Label of a claim: `true` keeps it, and its data, when the service or job that it belongs to is deleted."""


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
    """Return the PersistentVolumeClaim; a label says whether it outlives what it belongs to."""
    kept = {**labels, RETAIN: "true" if volume.retain else "false"}
    return manifest("v1", "PersistentVolumeClaim", name, namespace, kept, spec=claim_spec(volume))


def render_volume(spec: Volume, facts: RenderFacts) -> list[Manifest]:
    """Return the claim of a volume that belongs to no service or job.

    Raises:
        UsageError: it is a claim that is there already.
    """
    if spec.claim is not None:
        raise UsageError(
            f"Volume {spec.name!r} is the claim {spec.claim!r}, which is there already",
            expected="a volume to make: size, and no claim",
            next_step=f"give it to a service or job: volumes=(Volume(name={spec.name!r}, claim=...),)",
        )
    return [claim(spec, spec.name, spec.namespace or facts.namespace, {**spec.labels, NAME: spec.name})]


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
