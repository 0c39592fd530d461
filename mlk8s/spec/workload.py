"""Workloads of one's own containers: a StatefulSet with stable names and storage, and a DaemonSet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlk8s.spec.container import Container
from mlk8s.spec.fields import Labels, Name, Namespace, Seconds
from mlk8s.spec.pod import Pulled
from mlk8s.spec.pods import check_beside
from mlk8s.spec.scheduling import Scheduling
from mlk8s.spec.strategy import IntOrPercent
from mlk8s.spec.volume import Volume


class Workload(Pulled):
    """What a StatefulSet and a DaemonSet share.

    Attributes:
        name: DNS-1123 label, at most 50 characters.
        containers: one or more; a Container by itself is one.
        init: containers that end before the others start, in order.
        sidecars: native sidecars: they start before the containers and end after them.
        image_pull_secrets: Secrets of registries that want a login; see Pulled.
        scheduling: where the pods run.
        allow_from: namespaces whose pods may call these, besides the workload's own.
        allow_to: namespaces whose pods these may call, besides their own and the cluster's DNS.
        grace_period: seconds from SIGTERM to SIGKILL (`terminationGracePeriodSeconds`).
        min_ready: seconds that a pod must be ready before it counts (`minReadySeconds`).
    """

    name: Name
    containers: Annotated[tuple[Container, ...], Field(min_length=1)]
    init: tuple[Container, ...] = ()
    sidecars: tuple[Container, ...] = ()
    namespace: Namespace | None = None
    scheduling: Scheduling = Scheduling()
    allow_from: tuple[Namespace, ...] = ()
    allow_to: tuple[Namespace, ...] = ()
    grace_period: Annotated[Seconds, Field(ge=0, le=3600)] = 30.0
    min_ready: Annotated[Seconds, Field(ge=0, le=3600)] = 0.0
    labels: Labels = {}

    @property
    def every_container(self) -> tuple[Container, ...]:
        """All of them in the order in which they start."""
        return (*self.init, *self.sidecars, *self.containers)

    @model_validator(mode="after")
    def _one_pod(self) -> Workload:
        names = [item.name for item in self._volumes()]
        check_beside(self.init, (*self.sidecars, *self.containers), volumes=names)
        return self

    def _volumes(self) -> tuple[Volume, ...]:
        return ()


class StatefulSet(Workload):
    """Pods NAME-0, NAME-1, ... with a DNS name and storage of their own, each NAME-0.NAME.NAMESPACE.svc.

    Attributes:
        replicas: pods.
        storage: a claim for each pod and volume, by class, size and access mode. Mounted into the first
            container (at `mount`, else /volumes/NAME), unless containers name it in their `mounts`.
            `retain` says what becomes of the claims when the StatefulSet is deleted.
        when_scaled: what becomes of the claims of pods that a scale down takes away.
        pod_management: `OrderedReady` starts and ends one pod at a time, `Parallel` all at once.
        partition: pods below this number keep their revision in an update (`rollingUpdate.partition`).
        publish_not_ready: the pods' DNS names answer before they are ready, for members that must find each
            other in order to become so.
    """

    replicas: Annotated[int, Field(ge=0, le=1000, strict=True)] = 1
    storage: tuple[Volume, ...] = ()
    when_scaled: Literal["Retain", "Delete"] = "Retain"
    pod_management: Literal["OrderedReady", "Parallel"] = "OrderedReady"
    partition: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    publish_not_ready: bool = False

    def _volumes(self) -> tuple[Volume, ...]:
        return self.storage

    @model_validator(mode="after")
    def _storage_is_of_each_pod(self) -> StatefulSet:
        names = [item.name for item in self.storage]
        for item in self.storage:
            if names.count(item.name) > 1:
                raise ValueError(f"storage: two volumes are named {item.name!r}; expected a name each")
            if item.claim is not None or item.namespace is not None:
                raise ValueError(
                    f"storage: {item.name!r} names a claim or a namespace; expected neither: each pod gets a "
                    "claim of its own"
                )
            if item.access == "ReadOnlyMany":
                raise ValueError(f"storage: {item.name!r} would be made empty and read-only")
        if len({item.retain for item in self.storage}) > 1:
            raise ValueError(
                "storage: retain differs; expected one answer for all (Kubernetes has one field)"
            )
        if self.when_scaled == "Delete" and not self.storage:
            raise ValueError("when_scaled is 'Delete' and there is no storage; expected storage")
        if self.partition > self.replicas:
            raise ValueError(
                f"partition {self.partition} is above replicas {self.replicas}; expected at most replicas"
            )
        return self


class DaemonSet(Workload):
    """One pod on every node that its scheduling and tolerations allow.

    Attributes:
        max_unavailable: nodes whose pod may be away in an update; an update ends the old pod first.
    """

    max_unavailable: IntOrPercent = 1

    @model_validator(mode="after")
    def _an_update_can_move(self) -> DaemonSet:
        if self.max_unavailable in (0, "0%"):
            raise ValueError(
                "max_unavailable is 0, so that no pod could ever be replaced; expected 1 or more"
            )
        if self.scheduling.spread:
            raise ValueError("scheduling.spread has no use: every node gets one pod; expected none")
        return self
