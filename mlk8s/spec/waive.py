"""The annotation by which an object says why a rule of the linter does not hold for it."""

from __future__ import annotations

from collections.abc import Mapping

WAIVE = "mlk8s.dev/waive"
"""`RULE: reason; RULE: reason`. It counts for its object and for the pods that this makes."""


def waive(reasons: Mapping[str, str]) -> dict[str, str]:
    """Return the annotation for some rules and the reason of each; empty without any."""
    return {WAIVE: "; ".join(f"{rule}: {reason}" for rule, reason in reasons.items())} if reasons else {}
