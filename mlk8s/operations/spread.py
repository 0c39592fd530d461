"""From `workers=N` to a load test in the cluster: its target from inside, its image, its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlk8s.clients.cluster import Cluster, Manifest
from mlk8s.errors import UsageError
from mlk8s.loadgen.guard import check_target
from mlk8s.loadgen.settings import RESULTS, Settings
from mlk8s.operations.cluster_load import ClusterLoad
from mlk8s.operations.inside import inside
from mlk8s.operations.preflight import require_permissions
from mlk8s.operations.service import Service
from mlk8s.operations.tenant import with_pull_secrets
from mlk8s.spec.workers import Workers

Say = Callable[[str], None]


@dataclass(frozen=True)
class Spread:
    """A load test that is ready to be sent from the cluster.

    Attributes:
        workers: the pods that send.
        image: theirs.
        base: URL of what they load, without a path.
        egress: the rule of a NetworkPolicy that leads there.
    """

    workers: Workers
    image: str
    host: str
    base: str
    egress: Manifest

    def settings(self, given: Settings) -> Settings:
        """Return the settings of the pods: as on this machine, but for where they connect."""
        allowed = [self.host]
        check_target(self.base, allowed)
        if given.ca is not None:
            (given.directory / "ca.pem").write_bytes(Path(given.ca).read_bytes())
        return replace(
            given, url=self.base, allowed=allowed, parent=0, workers=self.workers.count, in_pods=True,
            ca=str(RESULTS / "ca.pem") if given.ca is not None else None,
        )  # fmt: skip

    def start(
        self, cluster: Cluster, service: Service, settings: Settings, longest: float, say: Say
    ) -> ClusterLoad:
        """Start the pods and return when they run."""
        return ClusterLoad(
            cluster, service.namespace, service.name, settings, self.workers, image=self.image,
            egress=self.egress, longest=longest, say=say,
        )  # fmt: skip

    def facts(self) -> dict[str, object]:
        """Return what is kept of it with the run."""
        return {"count": self.workers.count, "image": self.image, "target": self.base}


def spread(cluster: Cluster, service: Service, workers: int | Workers, say: Say) -> Spread:
    """Find out everything that a load test in the cluster needs, before anything is written.

    Raises:
        NotFound: no Service of the ingress controller.
        Forbidden: a permission is missing; names it.
        UsageError: nobody names an image.
    """
    wanted = workers if isinstance(workers, Workers) else Workers(count=workers)
    wanted = with_pull_secrets(cluster, wanted, service.namespace)
    kinds = ("Job", "ConfigMap", "NetworkPolicy", "Service")
    require_permissions(cluster, service.namespace, kinds, ("Pod", "Job"))
    way = inside(cluster, service)
    return Spread(wanted, _image(cluster, service, wanted, say), way.host, way.base, way.egress)


def _image(cluster: Cluster, service: Service, workers: Workers, say: Say) -> str:
    from mlk8s.local.cluster_image import cluster_image

    found = workers.image or service.platform.loadgen_image
    found = found or cluster_image("loadgen", cluster.server, cluster.source, say)
    if found is None:
        raise UsageError(
            "nobody names an image for the load test's workers",
            expected="Workers(image=...), --worker-image, or loadgen-image in ConfigMap "
            "mlk8s-system/mlk8s-platform",
            next_step="`mlk8s image build --base loadgen --push REGISTRY/REPO` makes one",
        )
    return found
