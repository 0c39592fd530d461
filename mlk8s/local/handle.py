"""A local cluster that is up: where it is reached, and its image store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlk8s.local.agent.api import Api
from mlk8s.local.namespaces import Namespaces
from mlk8s.local.node import Layout
from mlk8s.local.registry import Cluster
from mlk8s.local.shell import run

_CTR = ("ctr", "--namespace", "k8s.io")


@dataclass(frozen=True)
class Local:
    """A local cluster that is up."""

    cluster: Cluster

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def context(self) -> str:
        return f"mlk8s-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        return Layout(self.cluster.directory).kubeconfig

    @property
    def ingress_url(self) -> str:
        return f"http://127.0.0.1:{self.cluster.ports[0]}"

    @property
    def ingress_https_url(self) -> str:
        return f"https://127.0.0.1:{self.cluster.ports[2]}"

    @property
    def s3_url(self) -> str:
        return f"http://127.0.0.1:{self.cluster.ports[1]}"

    def api(self, timeout: float = 30) -> Api:
        """The API as the cluster's administrator; `timeout` is in seconds an answer."""
        return Api(self.cluster.api_url, Layout(self.cluster.directory).pki, "admin", timeout)

    def images(self) -> set[str]:
        """References of the images in the node's store."""
        done = run([*Namespaces(self.cluster.directory).inside(), *_CTR, "images", "list", "--quiet"])
        return set(done.stdout.split())

    def load_image(self, archive: Path) -> None:
        """Put a docker-archive into the node's image store.

        Raises:
            LocalClusterError: not running, not an archive, or the disk is full.
        """
        inside = Namespaces(self.cluster.directory).inside()
        run([*inside, *_CTR, "images", "import", str(Path(archive).absolute())], timeout=300)

    def tag_image(self, reference: str, name: str) -> None:
        """Give an image in the node's store a further name; whatever had it before loses it.

        Raises:
            LocalClusterError: not running, or there is no such image.
        """
        inside = Namespaces(self.cluster.directory).inside()
        run([*inside, *_CTR, "images", "tag", "--force", reference, name])
