"""An image of ours in a local cluster: made and put there when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mlk8s.local import drivers, images, registry
from mlk8s.local.cache import cache_dir
from mlk8s.local.handle import Local

_WORDS = {"loadgen": "the load generator", "controller": "the rollout's controller"}


def cluster_image(
    name: Literal["loadgen", "controller"], server: str, kubeconfig: str, say: Callable[[str], None]
) -> str | None:
    """Return the image's reference; None where the cluster is none that `mlk8s up` made on this machine.

    Args:
        name: which image.
        server: address of the cluster's API.
        kubeconfig: the file that led to it.

    Raises:
        LocalClusterError: the image cannot be made or loaded.
    """
    for known in registry.clusters().values():
        if known.api_url == server:
            local = Local(known)
            image = _build(name, say)
            if image.reference not in local.images():
                local.load_image(image.archive)
            return image.reference
    place = Path(kubeconfig).parent
    if place.parent == registry.state_root() and (place / "driver").is_file():
        image = _build(name, say)
        drivers.load_image((place / "driver").read_text().strip(), place.name, image.archive)
        return image.reference
    return None


def _build(name: str, say: Callable[[str], None]) -> images.Image:
    if not any((cache_dir() / "images" / name).glob("*/image.json")):
        say(f"making the image of {_WORDS[name]}, for the first time on this machine")
    return images.build(name)
