"""A batch job of several roles that start and end together, such as a driver and its workers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.container import Container
from mlk8s.spec.fields import Labels, Name, Namespace, Seconds
from mlk8s.spec.pod import Pulled
from mlk8s.spec.scheduling import Scheduling


class JobRole(Spec):
    """One role of a FeatureJobSet: pods that do the same.

    Attributes:
        name: `driver`, `worker`, ...
        containers: of each pod; all have to end with 0.
        pods: how many; pod number I is NAME-ROLE-0-I.NAME.NAMESPACE.svc.
        backoff_limit: retries of failed pods before the whole set fails or starts again.
        scheduling: where the pods run.
    """

    name: Name
    containers: Annotated[tuple[Container, ...], Field(min_length=1)]
    pods: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
    backoff_limit: Annotated[int, Field(ge=0, le=20, strict=True)] = 0
    scheduling: Scheduling = Scheduling()


class FeatureJobSet(Pulled):
    """A JobSet (jobset.sigs.k8s.io): roles that find each other by DNS name, succeed or start again as one.

    Only for what needs several roles: a job of one is a FeatureJob, which publishes a data version besides.

    Attributes:
        roles: two or more.
        driver: the role whose success is that of the whole; None means that every role has to succeed.
        max_restarts: how often the whole set starts again after a role has failed.
        active_deadline: seconds each role may take.
        ttl_after_finished: seconds until a finished set is removed.
        queue: LocalQueue of Kueue that it waits in until there is room for all of it.
        allow_to: namespaces whose pods these may call, besides their own and the cluster's DNS.
        image_pull_secrets: Secrets of registries that want a login; see Pulled.
    """

    name: Name
    roles: tuple[JobRole, ...]
    driver: Name | None = None
    namespace: Namespace | None = None
    max_restarts: Annotated[int, Field(ge=0, le=20, strict=True)] = 0
    active_deadline: Annotated[Seconds, Field(ge=1, le=7 * 86400)] = 3600.0
    ttl_after_finished: Annotated[Seconds, Field(ge=0, le=30 * 86400)] = 3600.0
    queue: Namespace | None = None
    allow_to: tuple[Namespace, ...] = ()
    labels: Labels = {}

    @model_validator(mode="after")
    def _several_roles(self) -> FeatureJobSet:
        names = [item.name for item in self.roles]
        if len(names) < 2:
            raise ValueError(
                f"roles has {len(names)}; expected two or more: a job of one role is a FeatureJob, which "
                "needs no JobSet"
            )
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two roles are named {twice!r}; expected a name each")
        if self.driver is not None and self.driver not in names:
            raise ValueError(f"driver {self.driver!r} is no role; expected one of: {', '.join(names)}")
        longest = max(names, key=len)
        if len(self.name) + len(longest) > 50:  # NAME-ROLE-0-12345-abcde has to be a DNS label
            raise ValueError(
                f"name and role {longest!r} have {len(self.name) + len(longest)} characters together; "
                "expected at most 50"
            )
        for role in self.roles:
            for item in role.containers:
                if item.mounts:
                    raise ValueError(f"role {role.name!r}: container {item.name!r} has mounts; expected none")
        return self
