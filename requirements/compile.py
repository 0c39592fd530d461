"""Pin what is installed, with hashes and without index addresses.

Run by `make requirements` after a change to pyproject.toml; needs the package index.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
UNIVERSAL = ["--universal", "--python-version=3.11"]
# Pods run Debian 12's CPython 3.11 on Linux and install wheels only, whatever this machine is.
PODS = ["--python-version=3.11", "--python-platform=x86_64-manylinux_2_28", "--only-binary=:all:"]
POD_EXTRAS = ("server", "pipeline")


def pin(target: str, *arguments: str, wanted: str | None = None) -> None:
    """Write `target`; `wanted` are requirements to read in place of a file."""
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "compile", *COMMON, *arguments, f"--output-file={target}"]
    subprocess.run(command, input=wanted, text=True, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    pin("requirements/uv.txt", *UNIVERSAL, "requirements/uv.in")
    pin("requirements/dev.txt", *UNIVERSAL, "--all-extras", "--group=dev", "pyproject.toml")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in POD_EXTRAS:
        pin(f"mlk8s/local/requirements/{extra}.txt", *PODS, "-", wanted="\n".join(extras[extra]))


if __name__ == "__main__":
    main()
