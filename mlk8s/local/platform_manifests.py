"""The manifests of manifests/platform, fitted to one cluster: images, addresses, volumes."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlk8s.errors import LocalClusterError
from mlk8s.render.common import digest

Manifest = dict[str, Any]

CRDS = "gateway-api-crds"
TRAEFIK_CRDS = "traefik-crds"
BASE = "namespace"
PARTS = ("coredns", "traefik", "seaweedfs", "prometheus", "prometheus-adapter")
PART_OF = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
TAKES_OVER = ("keda-adapter",)
"""Parts that serve an API instead of another part, for as long as they are installed."""


def folder() -> Path:
    """The folder with the manifests: inside an installed package, else beside it in a checkout.

    Raises:
        LocalClusterError: neither is there.
    """
    here = Path(__file__).resolve()
    for path in (here.parent / "manifests", here.parents[2] / "manifests" / "platform"):
        if (path / f"{BASE}.yaml").exists():
            return path
    raise LocalClusterError(
        "the platform's manifests are not there",
        where=str(here.parents[2] / "manifests" / "platform"),
        next_step="install mlk8s again, or run it from a checkout",
    )


def load_files(place: Path, pattern: str) -> list[Manifest]:
    """Return the objects of the files of a folder that match a pattern, by file name."""
    return [item for path in sorted(place.glob(pattern)) for item in _parse(path.read_text())]


def _parse(text: str) -> list[Manifest]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster on the CRDs
    return [item for item in yaml.load_all(text, loader) if item]


def load(name: str) -> list[Manifest]:
    """Return the objects of one file, in its order.

    Raises:
        LocalClusterError: the file is not there.
    """
    try:
        text = (folder() / f"{name}.yaml").read_text()
    except OSError as error:
        raise LocalClusterError(
            f"a manifest of the platform cannot be read: {error}", expected=", ".join(PARTS)
        ) from None
    return _parse(text)


def fit(
    objects: Iterable[Manifest],
    *,
    images: Mapping[str, str],
    dns_address: str | None = None,
    persistent: bool = True,
) -> list[Manifest]:
    """Return copies of a part's objects for one cluster.

    Args:
        objects: of one part, ConfigMaps included.
        images: image for each container of that name; others keep the official one.
        dns_address: IPv4 address of the Service kube-dns; None leaves the manifest's.
        persistent: False puts an emptyDir in the place of each claim.
    """
    fitted = [copy.deepcopy(item) for item in objects]
    digests = {
        item["metadata"]["name"]: digest(item["data"], 12) for item in fitted if item["kind"] == "ConfigMap"
    }
    for item in fitted:
        if item["kind"] in ("Deployment", "StatefulSet"):
            template = item["spec"]["template"]
            _fit_pod(template["spec"], images, persistent)
            _tell_configuration(template, digests)
        elif item["kind"] == "Service" and item["metadata"]["name"] == "kube-dns" and dns_address:
            item["spec"]["clusterIP"] = dns_address
    return [item for item in fitted if persistent or item["kind"] != "PersistentVolumeClaim"]


def _fit_pod(spec: dict[str, Any], images: Mapping[str, str], persistent: bool) -> None:
    for container in spec["containers"]:
        container["image"] = images.get(container["name"], container["image"])
    for volume in spec.get("volumes", []):
        if not persistent and volume.pop("persistentVolumeClaim", None):
            volume["emptyDir"] = {}


def _tell_configuration(template: dict[str, Any], digests: Mapping[str, str]) -> None:
    """Note the digest of the part's own mounted ConfigMaps, so that a changed one makes new pods."""
    volumes = template["spec"].get("volumes", [])
    names = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    if mounted := [digests[name] for name in names if name in digests]:
        template["metadata"].setdefault("annotations", {})["mlk8s.dev/config"] = ",".join(mounted)


def _digest(data: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
