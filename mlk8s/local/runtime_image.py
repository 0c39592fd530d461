"""A runtime image of one's own: a base, pinned wheels, a model; made without Docker, byte for byte the same.

    image = runtime_image.build(base="server", requirements=Path("requirements.txt"), model=Path("model"))
    image.digest                # of its manifest: the same input gives the same digest
    image.save(Path("iris.tar"), "registry.example.com/team/iris:1")    # what `docker load` reads
    publish.push(image, Reference.parse("registry.example.com/team/iris:1"))

Layers go from what seldom changes to what often does, so that a changed model sends only itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlk8s.clients.oci.reference import Reference
from mlk8s.clients.oci.registry import MANIFEST
from mlk8s.errors import SpecError, UsageError
from mlk8s.local import baseimage, sbom, wheels
from mlk8s.local.base_pull import Pulled, pull
from mlk8s.local.cache import architecture, file_digest, text_digest
from mlk8s.local.images import LayerRecipe, kept_layer, library_layer, python_parts
from mlk8s.local.layers import Config, Entry, Layer, image_config, write_archive
from mlk8s.storage.manifest import MANIFEST as MODEL_MANIFEST
from mlk8s.storage.manifest import Manifest, check_file

OWN_BASES = ("python", "server", "pipeline", "loadgen", "controller")
PACKAGES_DIR = "/opt/packages"
"""Where the wheels of the requirements are; it comes before everything else on PYTHONPATH."""
MODELS_DIR = "/opt/models"
"""Where a model is: MODELS_DIR/NAME/VERSION; in a pod its address is file:///opt/models/NAME/VERSION."""
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
_CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class Blob:
    """One layer as it is sent: the file, or what the base's registry already holds."""

    digest: str
    size: int
    media_type: str
    title: str
    path: Path | None


@dataclass(frozen=True)
class RuntimeImage:
    """A finished image.

    Attributes:
        layers: from the lowest to the highest.
        config: its configuration, JSON.
        sbom: CycloneDX 1.6, JSON.
        model: address of the model in a pod, for ModelService(model=...); None without one.
        base: what a pulled base came from; None where it was made here.
    """

    layers: Sequence[Blob]
    config: bytes
    sbom: bytes
    model: str | None = None
    archive_layers: Sequence[Layer] = field(repr=False, default=())
    base: Pulled | None = None

    @property
    def manifest(self) -> bytes:
        """The OCI manifest, JSON."""
        layers = [
            {
                "mediaType": blob.media_type,
                "digest": blob.digest,
                "size": blob.size,
                "annotations": {"org.opencontainers.image.title": blob.title},
            }
            for blob in self.layers
        ]
        digest = f"sha256:{hashlib.sha256(self.config).hexdigest()}"
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest, "size": len(self.config)},
            "layers": layers,
        }
        return json.dumps(body, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """`sha256:` of the manifest: what a Deployment names."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    def save(self, target: Path, reference: str) -> None:
        """Write the image as a docker-archive that containerd, Docker >= 23, Podman and kind read.

        Raises:
            UsageError: its base was pulled; such an image can only be pushed.
        """
        if self.base is not None:
            raise UsageError(
                f"an image on the base {self.base.reference} cannot be written to a file: its layers stay in "
                "the registry",
                expected=f"one of the bases {', '.join(OWN_BASES)}, or --push",
            )
        write_archive(target, reference, self.archive_layers, self.config)


def build(
    *,
    base: str = "server",
    requirements: Path | None = None,
    model: Path | None = None,
    labels: Mapping[str, str] | None = None,
    plain_http: bool = False,
) -> RuntimeImage:
    """Make an image.

    Args:
        base: `server` (the model server), `pipeline`, `python` (Debian's Python 3.11 alone), or the address
            of an image in a registry with a Python of its own.
        requirements: pinned with hashes, as `uv pip compile --generate-hashes` writes it.
        model: folder of a model version: manifest.json beside its files.
        labels: further labels of the image.
        plain_http: ask the base's registry over HTTP.

    Raises:
        UsageError: the requirements have no hashes; the base is neither ours nor an address.
        SpecError, DigestMismatch: the folder holds no model version, or another one than it says.
        LocalClusterError: a wheel or the base cannot be had.
    """
    pins = _pins(requirements) if requirements is not None else None
    pulled = None if base in OWN_BASES else pull(_address(base), plain_http=plain_http)
    if pulled is None:
        parts = python_parts(base)
        recipes, config, root = list(parts.layers), parts.config, baseimage.base_root()
        parents: list[Blob] = []
    else:
        recipes, config, root, parents = [], pulled.config, None, list(_parents(pulled))
    environment = dict(config.environment)
    components = sbom.of_base(base, root) if pulled is None else sbom.of_pulled(pulled)
    if pins is not None:
        version = pulled.python_version if pulled is not None else wheels.PYTHON_VERSION
        recipes.append(library_layer(root, pins, PACKAGES_DIR, "requirements", version))
        environment["PYTHONPATH"] = ":".join(filter(None, (PACKAGES_DIR, environment.get("PYTHONPATH"))))
        components += sbom.of_requirements(pins)
    address = None
    if model is not None:
        version_manifest, recipe = _model(model)
        recipes.append(recipe)
        components.append(sbom.of_model(version_manifest))
        address = f"file://{MODELS_DIR}/{version_manifest.name}/{version_manifest.version}"
    finished = [kept_layer(recipe) for recipe in recipes]
    config = Config(
        config.entrypoint,
        user=f"{baseimage.USER}:{baseimage.USER}",  # whatever the base says: never root
        environment=environment,
        working_dir=config.working_dir,
        labels={**config.labels, **(labels or {})},
    )
    blobs = [
        Blob(f"sha256:{file_digest(layer.path)}", layer.path.stat().st_size, LAYER, recipe.title, layer.path)
        for recipe, layer in zip(recipes, finished, strict=True)
    ]
    below = pulled.diff_ids if pulled is not None else ()
    return RuntimeImage(
        layers=[*parents, *blobs],
        config=image_config(finished, config, architecture(), below=below),
        sbom=sbom.document(components),
        model=address,
        archive_layers=finished,
        base=pulled,
    )


def _parents(pulled: Pulled) -> list[Blob]:
    return [Blob(item["digest"], item["size"], item["mediaType"], "base", None) for item in pulled.layers]


def _address(base: str) -> Reference:
    if "/" not in base:
        raise UsageError(
            f"there is no base {base!r}",
            expected=f"one of {', '.join(OWN_BASES)}, or the address of an image: REGISTRY/REPOSITORY:TAG",
        )
    return Reference.parse(base)


def _pins(requirements: Path) -> str:
    try:
        text = requirements.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the requirements cannot be read: {error}", where=str(requirements)) from None
    wanted = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "-"))]
    if wanted and "--hash=" not in text:
        raise UsageError(
            "the requirements have no hashes, so the same file would not give the same image",
            where=str(requirements),
            next_step=f"uv pip compile --generate-hashes --python-version 3.11 {requirements} -o pinned.txt",
        )
    return text


def _model(folder: Path) -> tuple[Manifest, LayerRecipe]:
    """The layer of a model: its files under MODELS_DIR, each checked against the manifest."""
    path = folder / MODEL_MANIFEST
    try:
        raw = path.read_bytes()
    except OSError:
        raise SpecError(
            "the folder holds no model version",
            where=str(path),
            expected="manifest.json beside the files that it names",
            next_step="mlk8s.storage.artifacts.download(URL, FOLDER) fetches a published version",
        ) from None
    manifest = Manifest.parse(raw, str(path))
    inside = f"{MODELS_DIR}/{manifest.name}/{manifest.version}"
    entries = [Entry(f"{inside}/{MODEL_MANIFEST}", raw)]
    for file in manifest.files:
        source = folder / file.path
        try:
            check_file(file, file_digest(source), source.stat().st_size, str(source))
        except OSError as error:
            raise SpecError(
                f"a file of the model cannot be read: {error.strerror}", where=str(source)
            ) from None
        entries.append(Entry(f"{inside}/{file.path}", source))
    return manifest, LayerRecipe(text_digest("model", manifest.digest), lambda _work: entries, "model")
