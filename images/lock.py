#!/usr/bin/env python3
"""Pin what goes into the pods' images: `python images/lock.py`, after a change of pyproject.toml's extras.

Writes mlk8s/local/requirements/{server,pipeline}.txt with the hashes of every wheel, for the images' CPython
3.11 (not for the Python that runs this), and no index address.
"""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = ("server", "pipeline")


def main() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in EXTRAS:
        target = ROOT / "mlk8s/local/requirements" / f"{extra}.txt"
        command = [
            "uv",
            "pip",
            "compile",
            "--quiet",
            "--generate-hashes",
            "--no-emit-index-url",
            "--no-header",
        ]
        command += ["--no-annotate", "--python-version=3.11", "--python-platform=x86_64-manylinux_2_28"]
        subprocess.run(
            [*command, "--only-binary=:all:", f"--output-file={target}", "-"],
            input="\n".join(extras[extra]),
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    main()
