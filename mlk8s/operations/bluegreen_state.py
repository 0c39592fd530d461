"""Which colour of a blue/green service is live, and the record of its last operation.

The Service's selector is the truth about the live colour; the record, an annotation on the blue Deployment,
says how far an operation got. No record means an ordinary service: blue is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlk8s.assess.bluegreen import ANNOTATION, BlueGreenRecord, Phase
from mlk8s.clients.cluster import Cluster
from mlk8s.operations.record import now, read_record, write_record
from mlk8s.render.bluegreen import Colour, identity, live_colour

MANAGER = "mlk8s-bluegreen"


def read(deployment: Mapping[str, Any]) -> BlueGreenRecord | None:
    """Return the record on a service's blue Deployment; None where only blue was ever live.

    Raises:
        Conflict: the annotation was not written by this version of mlk8s.
    """
    return read_record(deployment, ANNOTATION, BlueGreenRecord)


def write(
    cluster: Cluster, service: str, namespace: str, record: BlueGreenRecord, phase: Phase
) -> BlueGreenRecord:
    """Write a phase down, with the time, and return the record."""
    record = replace(record, phase=phase, since=now())
    write_record(cluster, service, namespace, ANNOTATION, record, manager=MANAGER)
    return record


def clear(cluster: Cluster, service: str, namespace: str) -> None:
    """Remove the record: blue alone is there, as in any other service."""
    write_record(cluster, service, namespace, ANNOTATION, None, manager=MANAGER)


def live(cluster: Cluster, deployment: Mapping[str, Any]) -> Colour:
    """Return the colour that has the requests; `deployment` is the blue one."""
    if read(deployment) is None:
        return "blue"
    metadata = deployment["metadata"]
    return live_colour(cluster.get("Service", metadata["name"], metadata["namespace"]))


def live_deployment(cluster: Cluster, service: str, namespace: str) -> dict[str, Any]:
    """Return the Deployment whose pods have the requests of a service: the one place that decides it.

    Who asks what a service serves, how many pods it has or what scales it starts here; the Deployment of the
    service's own name may be the idle colour. Its records (canary, blue/green) are kept on the latter.

    Raises:
        NotFound: no such service.
    """
    return live_beside(cluster, cluster.get("Deployment", service, namespace))


def live_beside(cluster: Cluster, blue: dict[str, Any]) -> dict[str, Any]:
    """Return what `live_deployment` does, of a service whose own Deployment was just read."""
    colour, metadata = live(cluster, blue), blue["metadata"]
    if colour == "blue":
        return blue
    return cluster.get("Deployment", identity(metadata["name"], colour).instance, metadata["namespace"])
