"""A Kubernetes without our platform: what `mlk8s up --bare` adds to a node that is Ready.

Cluster DNS, which every cluster has, and images: those that manifests/platform and `mlk8s export` name lie in
the node under just these names, so that `kubectl apply -k` works as on a cluster that can reach registries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from mlk8s import __version__
from mlk8s.clients.cluster import Cluster
from mlk8s.local import images, platform_wait, runtime_image
from mlk8s.local.handle import Local
from mlk8s.local.platform import stored_image
from mlk8s.local.platform_apply import apply_part
from mlk8s.local.platform_manifests import PARTS, load
from mlk8s.local.progress import Progress

_DNS = "coredns"


def prepare(local: Local, progress: Progress, *, timeout: float = 120.0) -> None:
    """Install cluster DNS on a native cluster and give its node the images that manifests name.

    Args:
        timeout: seconds for DNS to answer.

    Raises:
        LocalClusterError: a part cannot be had, or DNS does not become ready.
        ClusterError: the API server refuses, or does not answer.
    """
    cluster = Cluster.connect(kubeconfig=local.kubeconfig, context=local.context)
    stored = local.images()
    references = {_DNS: stored_image(local, _DNS, stored, progress)}
    apply_part(cluster, _DNS, images=references, dns_address=local.cluster.dns_address, progress=progress)
    for name in (*PARTS, *images.PYTHON_IMAGES):
        if name != _DNS:
            local.tag_image(stored_image(local, name, stored, progress), manifest_name(name))
    with progress.step(f"Wait for {_DNS}") as step:
        platform_wait.wait(cluster, _DNS, lambda: None, step, timeout, Event())


def manifest_name(image: str) -> str:
    """Return the name that manifests give an image: the official one of a part, our own with our version."""
    if image in images.PYTHON_IMAGES:
        return f"localhost/mlk8s/{image}:{__version__}"
    (name,) = (
        container["image"]
        for item in load(image)
        if item["kind"] in ("Deployment", "StatefulSet")
        for container in item["spec"]["template"]["spec"]["containers"]
    )
    return str(name)


def archives() -> Iterator[Path]:
    """Yield the archive of each image of ours, under the name that manifests give it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in images.PYTHON_IMAGES:
            archive = Path(folder, f"{name}.tar")
            runtime_image.build(base=name).save(archive, manifest_name(name))
            yield archive
            archive.unlink()
