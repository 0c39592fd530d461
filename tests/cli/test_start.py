"""Start-up: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "kubernetes",
    "matplotlib",
    "pyarrow",
    "numpy",
    "mlk8s.spec.base",
    "yaml",
    "jinja2",
    "locust",
    "cryptography",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["deploy", "--help"],
        ["canary", "--help"],
        ["deploy", "iris"],
        ["frobnicate"],
    ],
)
def test_help_and_errors_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from mlk8s.cli.main import run; run(sys.argv[1:]);"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]; assert not loaded, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
