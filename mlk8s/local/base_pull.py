"""The base of a runtime image, read from a registry: its layers stay there until they are pushed on."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlk8s.clients.oci.login import find_login
from mlk8s.clients.oci.reference import Reference
from mlk8s.clients.oci.registry import Repository
from mlk8s.errors import UsageError
from mlk8s.local.cache import architecture
from mlk8s.local.layers import Config


@dataclass(frozen=True)
class Pulled:
    """A base in a registry.

    Attributes:
        reference: where it was found.
        digest: of its manifest, for this machine's architecture.
        layers: descriptors as its manifest has them.
        diff_ids: digests of the uncompressed layers, lowest first.
        config: what its containers run.
        python_version: of its Python, MAJOR.MINOR.
    """

    reference: Reference
    digest: str
    layers: tuple[dict[str, Any], ...]
    diff_ids: tuple[str, ...]
    config: Config
    python_version: str


def pull(reference: Reference, *, plain_http: bool = False) -> Pulled:
    """Read a base's manifest and configuration.

    Raises:
        NotFound, Forbidden, Unreachable: the registry's answer.
        UsageError: it is for other machines, or does not say which Python it has.
    """
    repository = Repository(reference, find_login(reference.registry), plain_http=plain_http)
    manifest, digest = repository.manifest(reference.digest or reference.tag or "latest")
    if "manifests" in manifest:
        manifest, digest = repository.manifest(_for_this_machine(manifest, reference))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.json")
        described = manifest["config"]
        repository.fetch_blob(described["digest"], file, size=described["size"])
        found = json.loads(file.read_text(encoding="utf-8"))
    run = found.get("config") or {}
    environment = dict(item.partition("=")[::2] for item in run.get("Env") or [])
    return Pulled(
        reference=reference,
        digest=digest,
        layers=tuple(manifest["layers"]),
        diff_ids=tuple(found["rootfs"]["diff_ids"]),
        config=Config(
            [*(run.get("Entrypoint") or []), *(run.get("Cmd") or [])] or ["python3"],
            environment=environment,
            working_dir=run.get("WorkingDir") or "/",
            labels=run.get("Labels") or {},
        ),
        python_version=_python_version(environment, reference),
    )


def _for_this_machine(index: dict[str, Any], reference: Reference) -> str:
    for item in index["manifests"]:
        platform = item.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == architecture():
            return str(item["digest"])
    raise UsageError(
        f"the base has no image for linux/{architecture()}",
        where=str(reference),
        expected=", ".join(
            f"{(item.get('platform') or {}).get('os')}/{(item.get('platform') or {}).get('architecture')}"
            for item in index["manifests"]
        ),
    )


def _python_version(environment: dict[str, str], reference: Reference) -> str:
    # The official Python images, and those made from them, say it; so do ours.
    said = environment.get("PYTHON_VERSION", "")
    if said.count(".") < 1:
        raise UsageError(
            "the base does not say which Python it has",
            where=str(reference),
            expected="the variable PYTHON_VERSION in its configuration, as the official images have it",
        )
    return ".".join(said.split(".")[:2])
