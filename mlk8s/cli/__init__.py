"""The command line: parse, one operation, print. Heavy imports wait until a command needs them."""

from __future__ import annotations


def main() -> None:
    """Run `mlk8s` with the process's arguments and exit with the design's exit code."""
    from mlk8s.cli.main import run

    raise SystemExit(run())
