"""Real but tiny Go modules, for tests of builds."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from mlk8s.local.gotool import parse_version
from mlk8s.local.pins import GO_BELOW, GO_MINIMUM


def _has_go() -> bool:
    go = shutil.which("go")
    if not go:
        return False
    version = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    return GO_MINIMUM <= parse_version(version) < GO_BELOW


needs_go = pytest.mark.skipif(
    not _has_go(), reason=f"no Go {'.'.join(map(str, GO_MINIMUM))}; the cluster's own builds use the wheel"
)


def tiny_module(folder: Path, *, packages: int = 2) -> Path:
    """A module without dependencies: packages that no cache has seen, and a main that uses them."""
    unique = uuid.uuid4().hex
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.test/tiny\n\ngo 1.26\n")
    for number in range(packages):
        (folder / f"p{number}").mkdir()
        (folder / f"p{number}/p.go").write_text(f'package p{number}\n\nconst Id = "{unique}"\n')
    imports = "".join(f'import "example.test/tiny/p{number}"\n' for number in range(packages))
    uses = "".join(f"\t_ = p{number}.Id\n" for number in range(packages))
    (folder / "main.go").write_text(
        f'package main\n\n{imports}import "os"\n\n'
        f'func main() {{\n{uses}\tos.Stdout.WriteString("tiny\\n")\n}}\n'
    )
    return folder
