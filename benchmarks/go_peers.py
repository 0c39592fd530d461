"""Programs of other projects to measure beside, built from the modules that `benchmarks/go` pins."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from mlk8s.local.cache import cache_dir, file_digest, locked, made_whole
from mlk8s.local.gotool import find_go, go_environment, go_failure, run_go
from mlk8s.local.pins import GO_MINIMUM

FOLDER = Path(__file__).with_name("go")


@cache
def program(name: str, package: str, minimum: tuple[int, ...] = GO_MINIMUM) -> Path:
    """Build the program of the module `benchmarks/go/NAME`, once for each change of its pins.

    Args:
        package: import path of the program.
        minimum: the oldest Go that it compiles with.

    Raises:
        LocalClusterError: it does not compile, or a source is not to be had, in Go's words.
    """
    module = FOLDER / name
    pins = file_digest(module / "go.sum")[:12]
    folder = cache_dir() / "bench" / f"{name}-{pins}"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            with made_whole(folder) as unfinished:
                command = [str(find_go(minimum)), "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w"]
                command = ["nice", "-n", "10", *command, "-o", f"{unfinished}/{name}", package]
                done = subprocess.run(
                    command, cwd=module, env=go_environment(), capture_output=True, text=True
                )
                if done.returncode:
                    raise go_failure("go build", module, done.stderr.splitlines())
    return folder / name


def sources(name: str, path: str, minimum: tuple[int, ...] = GO_MINIMUM) -> Path:
    """Return the folder with the sources of a Go module that `benchmarks/go/NAME` pins, fetched if need be.

    Raises:
        LocalClusterError: they are not to be had.
    """
    module, go = FOLDER / name, find_go(minimum)
    run_go(["mod", "download", path], module, go)
    return Path(run_go(["list", "-m", "-f", "{{.Dir}}", path], module, go).strip())
