"""The log collector: every pod's lines in object storage."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Image, Labels, Name, Namespace, Seconds
from mlk8s.spec.resources import Resources
from mlk8s.spec.scheduling import Scheduling, Toleration
from mlk8s.spec.urls import model_url, scheme


def _storage_url(value: str) -> str:
    if scheme(model_url(value)) != "s3":
        raise ValueError("expected s3://BUCKET/PATH: the lines are searched where they lie")
    return value


class LogCollector(Spec):
    """A DaemonSet that ships each pod's lines to object storage, where `k8s.logs.search` finds them.

    It reads the kubelet's files through a hostPath, which no Pod Security level but `privileged` allows. So
    it lives in a namespace of its own, which it makes with that level and where nothing else should run. It
    runs without root: group 0 may read those files, and that is all it is given.

    Attributes:
        namespace: of its own; made and removed with it.
        output: s3://BUCKET/PATH of the lines.
        flush: seconds that a line may wait before it is shipped; fewer make more and smaller objects.
        include: namespaces whose lines are shipped; empty means all.
        exclude: namespaces whose lines are not.
        scheduling: tolerates every taint by default, so that every node's lines are shipped.
        image: None means the platform's pipeline image.
    """

    name: Name = "log-collector"
    namespace: Namespace = "mlk8s-logs"
    output: Annotated[str, AfterValidator(_storage_url)] = "s3://logs/pods"
    flush: Annotated[Seconds, Field(ge=1, le=3600)] = 30.0
    include: tuple[Namespace, ...] = ()
    exclude: tuple[Namespace, ...] = ()
    scheduling: Scheduling = Scheduling(tolerations=(Toleration(),))
    resources: Resources = Resources(cpu="50m", cpu_limit="500m", memory="128Mi", ephemeral_storage="64Mi")
    image: Image | None = None
    storage_secret: Name = "mlk8s-storage"
    storage_endpoint: str | None = None
    labels: Labels = {}

    @model_validator(mode="after")
    def _each_namespace_once(self) -> LogCollector:
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ValueError(f"{both[0]!r} is in include and in exclude; expected it in one of them")
        if self.namespace in ("default", "kube-system", "kube-public", "kube-node-lease", "mlk8s-system"):
            raise ValueError(
                f"namespace {self.namespace!r} is not the collector's own; expected one that is only for it: "
                "its Pod Security level is `privileged`"
            )
        return self
