"""The load generator's image in a local cluster: made and put there for the first load test with workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlk8s.local import drivers, images, registry
from mlk8s.local.cache import cache_dir
from mlk8s.local.handle import Local

_NAME = "loadgen"


def worker_image(server: str, kubeconfig: str, say: Callable[[str], None]) -> str | None:
    """Return the image's reference; None where the cluster is none that `mlk8s up` made on this machine.

    Args:
        server: address of its API.
        kubeconfig: the file that led to it.

    Raises:
        LocalClusterError: the image cannot be made or loaded.
    """
    for known in registry.clusters().values():
        if known.api_url == server:
            local = Local(known)
            image = _build(say)
            if image.reference not in local.images():
                local.load_image(image.archive)
            return image.reference
    place = Path(kubeconfig).parent
    if place.parent == registry.state_root() and (place / "driver").is_file():
        image = _build(say)
        drivers.load_image((place / "driver").read_text().strip(), place.name, image.archive)
        return image.reference
    return None


def _build(say: Callable[[str], None]) -> images.Image:
    if not any((cache_dir() / "images" / _NAME).glob("*/image.json")):
        say("making the image of the load generator, for the first time on this machine")
    return images.build(_NAME)
