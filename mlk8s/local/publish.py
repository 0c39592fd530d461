"""Send a runtime image to a registry: what it has already is not sent again."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlk8s.clients.oci.login import find_login
from mlk8s.clients.oci.reference import Reference
from mlk8s.clients.oci.registry import INDEX, MANIFEST, Repository
from mlk8s.local import sbom
from mlk8s.local.runtime_image import Blob, RuntimeImage

Say = Callable[[str], None]
_EMPTY = b"{}"


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        reference: where the image is: tag and digest.
        sent: bytes of layers and configuration that went over the wire.
        present: bytes of layers that the registry had.
        sbom_digest: of the manifest that holds the SBOM, which refers to the image.
    """

    reference: Reference
    sent: int
    present: int
    sbom_digest: str


def push(
    image: RuntimeImage, target: Reference, *, plain_http: bool = False, ca_file: Path | None = None,
    say: Say = print,
) -> Pushed:  # fmt: skip
    """Send layers, configuration, manifest and tag, in this order: what can be seen is whole.

    The tag is the target's own, else the first 12 digits of the image's digest. The SBOM is attached as an
    artifact that refers to the image (OCI 1.1 referrers; by the fallback tag where the registry has no such
    interface).

    Raises:
        Forbidden: the login, or its absence, may not push there.
        Rejected, NotFound, Unreachable: the registry's answer.
    """
    repository = Repository(target, find_login(target.registry), plain_http=plain_http, ca_file=ca_file)
    sent = present = 0
    for blob in image.layers:
        if _send_layer(repository, blob, image, plain_http):
            sent += blob.size
            say(f"{blob.title}: {_size(blob.size)} sent")
        else:
            present += blob.size
            say(f"{blob.title}: {_size(blob.size)} is there already")
    if repository.push_blob(_digest(image.config), image.config):
        sent += len(image.config)
    digest = image.digest
    tag = target.tag or digest.removeprefix("sha256:")[:12]
    repository.push_manifest(image.manifest, digest)
    attached = _attach(repository, image)
    repository.push_manifest(image.manifest, tag)
    return Pushed(Reference(target.registry, target.repository, tag, digest), sent, present, attached)


def _send_layer(repository: Repository, blob: Blob, image: RuntimeImage, plain_http: bool) -> bool:
    if blob.path is not None:
        return repository.push_blob(blob.digest, blob.path)
    if repository.has_blob(blob.digest):
        return False
    assert image.base is not None
    source = Repository(
        image.base.reference, find_login(image.base.reference.registry), plain_http=plain_http
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "layer")
        source.fetch_blob(blob.digest, file, size=blob.size)
        return repository.push_blob(blob.digest, file)


def _attach(repository: Repository, image: RuntimeImage) -> str:
    """Store the SBOM beside the image (distribution-spec 1.1, "Pushing Manifests with Subject")."""
    for content in (_EMPTY, image.sbom):
        repository.push_blob(_digest(content), content)
    subject = _described(image.manifest, MANIFEST)
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": sbom.MEDIA_TYPE,
        "config": _described(_EMPTY, "application/vnd.oci.empty.v1+json"),
        "layers": [_described(image.sbom, sbom.MEDIA_TYPE)],
        "subject": subject,
    }
    content = json.dumps(body, separators=(",", ":")).encode()
    digest = _digest(content)
    if repository.push_manifest(content, digest):
        return digest
    # The registry keeps no track of referrers: their list is an index under a tag made of the digest.
    tag = subject["digest"].replace(":", "-")
    found = repository.find_manifest(tag)
    others = [item for item in (found[0]["manifests"] if found else []) if item["digest"] != digest]
    entry = _described(content, MANIFEST) | {"artifactType": sbom.MEDIA_TYPE}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, entry]}
    repository.push_manifest(json.dumps(index, separators=(",", ":")).encode(), tag, INDEX)
    return digest


def _described(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"
