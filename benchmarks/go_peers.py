"""Programs of other projects to measure beside, built from the modules that `benchmarks/go` pins."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mlk8s.local.cache import cache_dir, file_digest, in_use, locked, made_whole
from mlk8s.local.gotool import find_go, go_environment, go_failure, run_go
from mlk8s.local.parts import sources_lock
from mlk8s.local.pins import GO_MINIMUM

FOLDER = Path(__file__).with_name("go")


@cache
def program(name: str, package: str) -> Path:
    """Build the program of the module `benchmarks/go/NAME`, once for each change of its pins.

    Raises:
        LocalClusterError: it does not compile, or a source is not to be had, in Go's words.
    """
    return built(name, package) / name


def built(
    name: str,
    package: str,
    minimum: tuple[int, ...] = GO_MINIMUM,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Return the folder with the program NAME, and with files of its module: Go's own copy may go any time.

    Args:
        package: import path of the program.
        minimum: the oldest Go that it compiles with.
        files: module by pattern of the files to keep; they are put into the folder side by side.

    Raises:
        LocalClusterError: it does not compile, or a source is not to be had, in Go's words.
    """
    module = FOLDER / name
    folder = cache_dir() / "bench" / f"{name}-{file_digest(module / 'go.sum')[:12]}"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            with made_whole(folder) as unfinished, in_use(sources_lock()):
                unfinished.mkdir()
                go = find_go(minimum)
                _build(go, module, package, unfinished / name)
                for pattern, path in (files or {}).items():
                    sources = Path(run_go(["list", "-m", "-f", "{{.Dir}}", path], module, go).strip())
                    for file in sources.glob(pattern):
                        shutil.copyfile(file, unfinished / file.name)
    return folder


def _build(go: Path, module: Path, package: str, target: Path) -> None:
    command = ["nice", "-n", "10", str(go), "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w"]
    command += ["-o", str(target), package]
    done = subprocess.run(command, cwd=module, env=go_environment(), capture_output=True, text=True)
    if done.returncode:
        raise go_failure("go build", module, done.stderr.splitlines())
