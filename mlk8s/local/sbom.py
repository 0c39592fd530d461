"""What an image is made of, as a CycloneDX 1.6 document: the same input gives the same bytes."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlk8s import __version__
from mlk8s.local.baseimage import PACKAGE_LIST
from mlk8s.storage.manifest import Manifest

if TYPE_CHECKING:
    from mlk8s.local.base_pull import Pulled

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SPACE = uuid.UUID("8f3c1d56-6d4e-5a0c-9a64-0d8d3f0c2b11")  # of our own, for name-based UUIDs

Component = dict[str, Any]


def of_base(base: str, root: Path | None) -> list[Component]:
    """Return Debian's packages of a base made here, and mlk8s with its own wheels where it holds them."""
    found: list[Component] = []
    if root is not None:
        for line in (root / PACKAGE_LIST).read_text(encoding="utf-8").splitlines():
            name, version, machine = line.split()
            purl = f"pkg:deb/debian/{name}@{version}?arch={machine}&distro=debian-12"
            found.append({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl})
    pins = Path(__file__).parent / "requirements" / f"{base}.txt"
    if pins.exists():
        found += of_requirements(pins.read_text(encoding="utf-8"))
        purl = f"pkg:pypi/mlk8s@{__version__}"
        found.append(
            {"type": "application", "name": "mlk8s", "version": __version__, "purl": purl, "bom-ref": purl}
        )
    return found


def of_pulled(pulled: Pulled) -> list[Component]:
    """Return the base as one component: what is in it, its own SBOM says."""
    name = pulled.reference.repository.rpartition("/")[2]
    purl = f"pkg:oci/{name}@{pulled.digest.replace(':', '%3A')}?repository_url={pulled.reference.name}"
    return [{"type": "container", "name": name, "version": pulled.digest, "purl": purl, "bom-ref": purl}]


def of_requirements(text: str) -> list[Component]:
    """Return the pinned packages of a requirements text, with every hash that it accepts."""
    found: list[Component] = []
    for line in text.replace("\\\n", " ").splitlines():
        pin = _PIN.match(line.strip())
        if pin is None:
            continue
        name = re.sub(r"[-_.]+", "-", pin[1]).lower()  # PEP 503
        purl = f"pkg:pypi/{name}@{pin[2]}"
        hashes = [{"alg": "SHA-256", "content": digest} for digest in _HASH.findall(line)]
        found.append(
            {
                "type": "library",
                "name": name,
                "version": pin[2],
                "purl": purl,
                "bom-ref": purl,
                "hashes": hashes,
            }
        )
    return found


def of_model(manifest: Manifest) -> Component:
    """Return a model version, with the digest of its manifest."""
    return {
        "type": "machine-learning-model",
        "name": manifest.name,
        "version": manifest.version,
        "bom-ref": f"model:{manifest.name}@{manifest.version}",
        "hashes": [{"alg": "SHA-256", "content": manifest.digest.removeprefix("sha256:")}],
    }


def document(components: list[Component]) -> bytes:
    """Return the document; its serial number is made from its content, and it names no time."""
    unique = {item["bom-ref"]: item for item in components}
    listed = [unique[key] for key in sorted(unique)]
    content = json.dumps(listed, sort_keys=True)
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, content)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "mlk8s", "version": __version__}]}
        },
        "components": listed,
    }
    return json.dumps(body, indent=1, sort_keys=True).encode()
