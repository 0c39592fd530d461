"""Runs the real command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYTHON = [sys.executable, "-m", "mlk8s"]


def mlk8s(
    *arguments: str,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float = 240,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run `mlk8s ARGUMENTS` without this process's cluster; env values of None are removed."""
    values = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MLK8S_", "KUBE")) and key not in ("COLUMNS", "FORCE_COLOR")
    }
    for key, value in (env or {}).items():
        values.pop(key, None)
        if value is not None:
            values[key] = value
    return subprocess.run(
        [*prefix, *PYTHON, *arguments],
        env=values,
        cwd=cwd,
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def nowhere(tmp_path: Path) -> dict[str, str | None]:
    """Return an environment without any kubeconfig or local cluster."""
    return {"HOME": str(tmp_path), "MLK8S_STATE": str(tmp_path / "state")}
