"""`python -m mlk8s` is `mlk8s`."""

from __future__ import annotations

from mlk8s.cli import main

main()
