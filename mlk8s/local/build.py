"""Go builds from pinned modules, with progress that knows what remains.

What remains is the number of stale packages, which `go list` tells in a few seconds; `go build -v` names each
when it is its turn. What is built stays in Go's cache, so an interrupted build goes on where it was.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from mlk8s.local.gotool import MODULES, find_go, go_environment, go_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlk8s.local.pins import GoBuild
    from mlk8s.local.progress import Progress

_FLAGS = ("-trimpath", "-ldflags=-s -w")  # no paths of this machine, no symbols: the same bytes anywhere


def build(title: str, wish: GoBuild, folder: Path, progress: Progress) -> str:
    """Build a module's programs into `folder`.

    Args:
        title: what is built, for people ("Kubernetes 1.35.4").
        wish: module, packages and flags.
        folder: where the programs go, under the names that `wish` gives.

    Returns:
        The Go that built it, as it names itself.

    Raises:
        LocalClusterError: Go, a source or the disk is not to be had, or a package does not compile.
    """
    go = find_go()
    module = MODULES / wish.module
    flags, packages = [*_FLAGS, *wish.flags], list(wish.packages.values())
    with progress.step(f"Fetch the sources of {title}", unit="modules") as step:
        template = "{{if .Stale}}{{.ImportPath}}{{end}}"

        def fetched(line: str) -> None:
            if line.startswith("go: downloading"):
                step.advance(1, detail=line.split()[-2])

        listed = _run([str(go), "list", "-deps", "-f", template, *flags, *packages], module, fetched)
    stale = len(listed.split())
    # Programs are linked even if every package is there: one more unit each, done when all are written.
    with progress.step(f"Build {title}", total=stale + len(packages), unit="packages") as step:
        compiled = 0

        def built(line: str) -> None:
            nonlocal compiled
            if " " not in line and compiled < stale:
                compiled += 1
                step.advance(1, detail="linking" if compiled == stale else line)

        # One program is named by `-o`; several get the last words of their packages' paths, in one folder.
        (output,) = wish.packages if len(packages) == 1 else ("",)
        _run([str(go), "build", "-v", *flags, "-o", f"{folder}/{output}", *packages], module, built)
        step.update(done=stale + len(packages))
    return subprocess.run([str(go), "version"], capture_output=True, text=True, check=True).stdout.strip()


def _run(command: list[str], module: Path, on_line: Callable[[str], None]) -> str:
    """Run Go, hand over each line of its stderr, and return its stdout.

    Builds give way to the cluster that may already run. However this function is left, Go is stopped first.
    """
    nice = [shutil.which("nice") or "nice", "-n", "10"]
    lines = []
    with (
        tempfile.TemporaryFile("w+") as output,  # a pipe that nobody empties would stop Go at 64 KiB
        subprocess.Popen(
            [*nice, *command],
            cwd=module,
            env=go_environment(),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr
        try:
            for line in process.stderr:
                on_line(line.rstrip("\n"))
                if " " in line:  # else a package's name, of which there are thousands
                    lines.append(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
        if process.wait():
            raise go_failure(f"go {command[1]}", module, lines)
        output.seek(0)
        return output.read()
