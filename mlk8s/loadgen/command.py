"""How Locust is started: the same options on the user's machine and in a pod."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from math import ceil
from pathlib import Path

from mlk8s.loadgen.settings import VARIABLE, Settings

OURS = "/mlk8s.loadgen"
"""Marks our own lines in Locust's log: its tables at the end say nothing of what went wrong."""


def locust_command(settings: Settings, *more: str) -> list[str]:
    """Return the command of one Locust without a terminal; `more` are further options of it."""
    return [
        sys.executable, "-m", "locust", "--headless", "--only-summary", "--loglevel", "INFO",
        "--locustfile", str(Path(__file__).with_name("locustfile.py")),
        "--stop-timeout", f"{ceil(settings.timeout) + 1}s",
        # Failed requests are results, not a failure of Locust: its exit code shall tell only that.
        "--exit-code-on-error", "0",
        *more,
    ]  # fmt: skip


def locust_environment(file: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return Locust's environment: the settings' file, and where it imports mlk8s from.

    Locust reads options from LOCUST_* variables; a forgotten one must not change the test.
    """
    kept = {name: value for name, value in given.items() if not name.startswith("LOCUST_")}
    package = Path(__file__).resolve().parents[2]
    paths = [str(package), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {VARIABLE: str(file.resolve()), "PYTHONPATH": os.pathsep.join(paths)}


def last_words(text: str, lines: int = 8) -> str:
    """Return what the load generator said last, else the end of Locust's log, for a message."""
    said = [line.partition(OURS)[2].lstrip(": ") for line in text.splitlines() if OURS in line]
    return "\n".join((said or text.rstrip().splitlines())[-lines:])
