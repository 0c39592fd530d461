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
POD_EXTRAS = {"server": "server", "pipeline": "pipeline", "loadgen": "load"}
"""By the room that runs in a pod: the extra that it needs."""
CONTROLLER = ("kubernetes", "urllib3", "pydantic", "orjson", "pyyaml", "numpy", "cryptography")
"""What a rollout's controller needs of mlk8s's own dependencies."""


def pin(target: str, *arguments: str, wanted: str | None = None) -> None:
    """Write `target`; `wanted` are requirements to read in place of a file."""
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "compile", *COMMON, *arguments, f"--output-file={target}"]
    subprocess.run(command, input=wanted, text=True, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    pin("requirements/uv.txt", *UNIVERSAL, "requirements/uv.in")
    pin("requirements/dev.txt", *UNIVERSAL, "--all-extras", "--group=dev", "pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for room, extra in POD_EXTRAS.items():
        pin(f"mlk8s/local/requirements/{room}.txt", *PODS, "-", wanted="\n".join(extras[extra]))
    own = [item for item in project["dependencies"] if item.split(">=")[0] in CONTROLLER]
    pin("mlk8s/local/requirements/controller.txt", *PODS, "-", wanted="\n".join(own))


if __name__ == "__main__":
    main()
