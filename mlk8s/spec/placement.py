"""What volumes, GPUs and scheduling of one workload may not ask for at once."""

from __future__ import annotations

from collections.abc import Sequence

from mlk8s.spec.resources import Gpu
from mlk8s.spec.scheduling import Scheduling
from mlk8s.spec.volume import Volume

_RESERVED = ("models", "tmp", "storage", "source", "ca", "model-ca")
"""Names of the volumes that mlk8s's own pods have."""


def check_placement(
    volumes: Sequence[Volume], scheduling: Scheduling, gpu: Gpu | None, pods: int, *, rolls: bool
) -> None:
    """Check that the pods of a workload can be where its volumes, GPUs and scheduling want them.

    Args:
        pods: how many there may be at once.
        rolls: whether a new pod starts before an old one has gone.

    Raises:
        ValueError: two of them contradict each other.
    """
    for what, values in (
        ("name", [item.name for item in volumes]),
        ("path", [item.mounted_at for item in volumes]),
    ):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ValueError(f"volumes: two have the {what} {twice!r}; expected one")
    for item in volumes:
        if item.name in _RESERVED or item.name.startswith("claim-"):
            raise ValueError(f"volumes: {item.name!r} is a volume of mlk8s's own; expected another name")
        if item.namespace is not None or (item.access == "ReadOnlyMany" and item.claim is None):
            raise ValueError(_unusable(item))
        if item.access == "ReadWriteOncePod" and (pods > 1 or rolls):
            raise ValueError(
                f"volumes: {item.name!r} may be mounted by one pod only (ReadWriteOncePod), and this "
                "workload may have two at a time; expected replicas=1 and strategy='Recreate', or another "
                "access"
            )
        if item.access == "ReadWriteOnce" and item.claim is None and pods > 1:
            raise ValueError(
                f"volumes: {item.name!r} may be mounted on one node only (ReadWriteOnce), and this workload "
                f"may have {pods} pods; expected ReadWriteMany, one pod, or a StatefulSet, whose pods have a "
                "claim each"
            )
    for key, value in (gpu.node_selector if gpu else {}).items():
        if scheduling.node_selector.get(key, value) != value:
            raise ValueError(
                f"scheduling.node_selector wants {key}={scheduling.node_selector[key]}, gpu.node_selector "
                f"{key}={value}; no node has both"
            )


def _unusable(item: Volume) -> str:
    if item.namespace is not None:
        return f"volumes: {item.name!r} names a namespace; expected none: pods mount claims of their own"
    return (
        f"volumes: {item.name!r} would be made empty and read-only (ReadOnlyMany); expected claim=NAME of "
        "one that a Job has filled, or another access"
    )
