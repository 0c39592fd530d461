"""Images for the local cluster, made on this machine without Docker: the same input gives the same digest.

`build(name)` makes an image or finds it in the cache, as a docker-archive that `ctr images import` reads:

    images.build("server")                      # the model server: Debian, wheels, mlk8s.server
    images.build("pipeline")                    # feature pipelines: Debian, wheels, mlk8s.pipeline
    images.build("loadgen")                     # a load test's workers: Debian, wheels, mlk8s.loadgen
    images.build("traefik", {"traefik": path})  # one static binary; the path comes from `parts.ensure`

The Python images have three layers, from what seldom changes to what often does; each is kept by a digest of
what it is made from, so a change in `mlk8s.server` makes only the last one again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError, UsageError
from mlk8s.local import baseimage, wheels
from mlk8s.local.cache import architecture, cache_dir, file_digest, locked, made_whole, remove, text_digest
from mlk8s.local.layers import Config, Entry, Layer, folder_entries, image_config, write_archive, write_layer
from mlk8s.local.pins import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_RECIPE = "3"  # raised when layers are made differently from the same input
_PACKAGES = "usr/local/lib/python3.11/dist-packages"  # where Debian's Python looks for packages by itself
_APP = "app"
_KEPT_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class Image:
    """A finished image: its full name, its archive, and its id (`sha256:` and the configuration's digest)."""

    reference: str
    archive: Path
    id: str


@dataclass(frozen=True)
class _Static:
    """An image that holds one statically linked program."""

    path: str
    arguments: tuple[str, ...] = ()
    user: int = 65532


# The paths are those of the official images, so that a manifest's `command` fits both.
_STATIC = {
    "coredns": _Static("/coredns"),
    "keda-adapter": _Static("/keda-adapter"),
    "keda-operator": _Static("/keda"),
    "pause": _Static("/pause", ("-P",), user=65535),
    "prometheus": _Static("/bin/prometheus", user=65534),
    "prometheus-adapter": _Static("/adapter"),
    "seaweedfs": _Static("/usr/bin/weed"),
    "traefik": _Static("/usr/local/bin/traefik"),
    "vpa-admission-controller": _Static("/admission-controller"),
    "vpa-recommender": _Static("/recommender"),
    "vpa-updater": _Static("/updater"),
}
_ROOMS = {
    "server": ("storage", "server"),
    "pipeline": ("storage", "pipeline", "collector"),
    "loadgen": ("loadgen",),
    "controller": ("storage", "spec", "assess", "render", "clients", "operations"),
}
_COMMANDS = {
    "server": ("python3", "-m", "mlk8s.server"),
    "pipeline": ("python3",),
    "loadgen": ("python3", "-m", "mlk8s.loadgen.pod"),
    "controller": ("python3", "-m", "mlk8s.operations.canary_pod"),
}

PYTHON_IMAGES = ("server", "pipeline")
"""Those that every cluster has; `loadgen` is made when the first load test has workers in the cluster,
`controller` when the first canary is run there."""
STATIC_IMAGES = tuple(_STATIC)


def build(name: str, binaries: Mapping[str, Path] | None = None) -> Image:
    """Make the image `name`, or find it in the cache.

    Args:
        name: one of `PYTHON_IMAGES`, `loadgen`, `controller`, or one of `STATIC_IMAGES`.
        binaries: for a static image, the program by the image's name; `pause` finds Debian's catatonit.

    Raises:
        LocalClusterError: something that the image is made of cannot be had.
        UsageError: there is no such image.
    """
    if name in _ROOMS:
        return _python_image(name)
    if name == "pause":
        return static_image(name, _catatonit())
    if name in _STATIC and binaries and name in binaries:
        return static_image(name, binaries[name])
    raise UsageError(
        f"There is no image {name}." if name not in _STATIC else f"The image {name} needs its binary.",
        expected=f"one of {', '.join(sorted((*_ROOMS, *_STATIC)))}",
    )


def static_image(name: str, binary: Path) -> Image:
    """An image of one statically linked program, an empty /tmp and a user that is not root."""
    recipe = _STATIC[name]
    config = Config([recipe.path, *recipe.arguments], user=f"{recipe.user}:{recipe.user}")
    entries = [
        Entry(recipe.path, binary, mode=0o755),
        Entry("/etc/passwd", f"root:x:0:0::/:\n{name}:x:{recipe.user}:{recipe.user}::/tmp:\n".encode()),
        Entry("/etc/group", f"root:x:0:\n{name}:x:{recipe.user}:\n".encode()),
        Entry("/tmp", mode=0o1777),  # noqa: S108 (in the image)
    ]
    # The layer is not kept: the binary and the archive are two copies of the same hundred megabytes already.
    return _image(
        name,
        text_digest(_RECIPE, repr(recipe), file_digest(binary)),
        lambda work: [write_layer(work / "layer.tar", entries)],
        config,
    )


def _python_image(name: str) -> Image:
    parts = python_parts(name)
    key = text_digest(*(part.key for part in parts.layers))
    return _image(name, key, lambda _work: [kept_layer(part) for part in parts.layers], parts.config)


@dataclass(frozen=True)
class LayerRecipe:
    """A layer that is made where the cache lacks it; `key` is the digest of all that goes into it."""

    key: str
    entries: Callable[[Path], Iterable[Entry]]
    title: str = ""


@dataclass(frozen=True)
class PythonParts:
    """What an image of Debian's Python is made of, from what seldom changes to what often does."""

    layers: list[LayerRecipe]
    config: Config


def python_parts(name: str) -> PythonParts:
    """The layers of a Python image: `python` is Debian alone, the others have wheels and rooms.

    Raises:
        LocalClusterError: the base cannot be had.
    """
    root = baseimage.base_root()
    layers = [
        LayerRecipe(text_digest(_RECIPE, root.name), lambda _work: folder_entries(root), "Debian and Python")
    ]
    if name in _ROOMS:
        requirements = (Path(__file__).parent / "requirements" / f"{name}.txt").read_text()
        files = _app_files(name)
        layers += [
            library_layer(root, requirements, f"/{_PACKAGES}", f"wheels of mlk8s.{name}"),
            LayerRecipe(
                text_digest(_RECIPE, root.name, *itertools.chain.from_iterable(files.items())),
                lambda work: _app_entries(root, files, work),
                f"mlk8s.{name}",
            ),
        ]
    config = Config(
        _COMMANDS.get(name, ("python3",)),
        user=f"{baseimage.USER}:{baseimage.USER}",
        # No bytecode is written: all of it is there already, and the root is read-only.
        environment={
            "ORT_DISABLE_TELEMETRY": "1",  # or ONNX Runtime reports each process to its maker
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"/{_APP}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHON_VERSION": wheels.PYTHON_VERSION,  # as the official images say it
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        },
        working_dir=f"/{_APP}",
    )
    return PythonParts(layers, config)


def library_layer(
    root: Path | None,
    requirements: str,
    folder: str,
    title: str,
    python_version: str = wheels.PYTHON_VERSION,
) -> LayerRecipe:
    """The importable files of pinned wheels in `folder`.

    Args:
        root: the base whose Python byte-compiles them; None leaves them as they are.
    """
    key = text_digest(
        _RECIPE, root.name if root else "", requirements, architecture(), folder, python_version
    )

    def entries(work: Path) -> list[Entry]:
        return _library_entries(root, requirements, folder, python_version, work)

    return LayerRecipe(key, entries, title)


def _library_entries(
    root: Path | None, requirements: str, inside: str, python_version: str, work: Path
) -> list[Entry]:
    folder = work / inside.strip("/")
    for wheel in wheels.download(requirements, architecture(), python_version):
        for file in wheels.unpack(wheel, folder):
            file.chmod(0o644)
    wheels.forget(requirements, architecture(), python_version)
    if root is not None:
        baseimage.compile_python(root, work, [folder])
    return folder_entries(folder, inside)


def _app_files(name: str) -> dict[str, str]:
    """The text of each of mlk8s's own files that the image needs, by its path below the package."""
    package = Path(__file__).parent.parent
    files = [package / "__init__.py", package / "errors.py", package / "secrecy.py", package / "series.py"]
    for room in _ROOMS[name]:
        files += (package / room).rglob("*.py")
    return {path.relative_to(package).as_posix(): path.read_text() for path in sorted(files) if path.exists()}


def _app_entries(root: Path, files: Mapping[str, str], work: Path) -> list[Entry]:
    folder = work / _APP
    for path, text in files.items():
        target = folder / "mlk8s" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    baseimage.compile_python(root, work, [folder])
    return folder_entries(folder, f"/{_APP}")


def kept_layer(recipe: LayerRecipe) -> Layer:
    """The layer of a recipe, from the cache or made now; it is kept under its own digest."""
    folder = cache_dir() / "images" / "layers" / recipe.key[:32]
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            with made_whole(folder) as unfinished, tempfile.TemporaryDirectory(dir=folder.parent) as work:
                unfinished.mkdir()
                layer = write_layer(unfinished / "layer.tar", recipe.entries(Path(work)))
                layer.path.rename(unfinished / f"{layer.digest}.tar")
            _remove_unused(folder.parent)
        folder.touch()
        (file,) = folder.glob("*.tar")
    return Layer(file, file.stem)


def _remove_unused(layers: Path) -> None:
    """Remove layers that were not used for long: each new set of wheels leaves an old one behind."""
    for path in layers.iterdir():
        if path.stat().st_mtime < time.time() - _KEPT_SECONDS:
            remove(path)


def _image(name: str, key: str, layers: Callable[[Path], list[Layer]], config: Config) -> Image:
    """The image made from the input that `key` is the digest of; archives from other input go."""
    folder = cache_dir() / "images" / name
    target = folder / key[:16]
    with locked(folder.with_suffix(".lock")):
        if not target.exists():
            with made_whole(target) as unfinished:
                unfinished.mkdir()
                with tempfile.TemporaryDirectory(dir=folder) as work:
                    finished = layers(Path(work))
                    data = image_config(finished, config, architecture())
                    digest = hashlib.sha256(data).hexdigest()
                    reference = (
                        f"localhost/mlk8s/{name}:{PARTS[name].version if name in PARTS else digest[:12]}"
                    )
                    write_archive(unfinished / "image.tar", reference, finished, data)
                facts = {"reference": reference, "id": f"sha256:{digest}"}
                (unfinished / "image.json").write_text(json.dumps(facts))
            for other in folder.iterdir():
                if other != target:
                    remove(other)
    facts = json.loads((target / "image.json").read_text())
    return Image(facts["reference"], target / "image.tar", facts["id"])


def _catatonit() -> Path:
    path = Path("/usr/bin/catatonit")
    if not path.exists():
        raise LocalClusterError(
            "catatonit, the process that holds a pod together, is not installed.",
            where=str(path),
            next_step="apt-get install --no-install-recommends catatonit",
        )
    return path
