"""The facts that `tests/assess/record.py` recorded on a real cluster."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlk8s.assess.doctor_facts import Unknown
from mlk8s.assess.job import JobFacts
from mlk8s.assess.rollout import RolloutFacts
from mlk8s.assess.why.facts import Facts

FACTS = Path(__file__).parent / "facts"

_OPTIONAL: dict[str, Any] = {"ScaledObject": [], "VerticalPodAutoscaler": []}
"""What a cluster without KEDA and VPA has of their kinds."""


def load(case: str) -> dict[str, Any]:
    """Return what was recorded; `now` as a datetime."""
    found: dict[str, Any] = json.loads((FACTS / f"{case}.json").read_text(encoding="utf-8"))
    return found | {"now": datetime.fromisoformat(found["now"])}


def rollout(case: str, *, earlier: float = 0.0, **changes: Any) -> RolloutFacts:
    """Return a rollout's facts, as they would have looked with the clock `earlier` seconds back."""
    found = load(case) | changes
    return RolloutFacts(**found | {"now": found["now"] - timedelta(seconds=earlier)})


def job(case: str, **changes: Any) -> JobFacts:
    """Return a Job's facts."""
    return JobFacts(**load(case) | changes)


def why(case: str, **changes: Any) -> tuple[str, Facts]:
    """Return what `why` was asked in a case that `record_why.py` recorded, and the facts.

    Args:
        changes: lists in place of the recorded ones, by key.
    """
    found = load(f"why-{case}")
    lists = {
        key: Unknown(items["unknown"]) if isinstance(items, dict) else items
        for key, items in (_OPTIONAL | found["found"] | changes).items()
    }
    facts = Facts(
        namespace=found["namespace"],
        now=found["now"],
        found=lists,
        ingress_namespace=found["ingress_namespace"],
        prometheus=found["prometheus"],
        prometheus_service=found.get("prometheus_service"),
    )
    return found["asks"], facts
