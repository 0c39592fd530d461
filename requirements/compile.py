"""Pin what is installed, with hashes and without index addresses.

Run by `make requirements` after a change to pyproject.toml; needs the package index.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
UNIVERSAL = ["--universal", "--python-version", "3.11"]
# The pods run Debian 12's Python on Linux, whatever this machine is.
POD = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]


def compile_(output: str, *arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "compile", *COMMON, *arguments, "-o", output], cwd=ROOT, check=True)


def main() -> None:
    compile_("requirements/uv.txt", *UNIVERSAL, "requirements/uv.in")
    compile_("requirements/dev.txt", *UNIVERSAL, "--all-extras", "--group", "dev", "pyproject.toml")


if __name__ == "__main__":
    main()
