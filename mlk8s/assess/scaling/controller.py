"""Kubernetes' HorizontalPodAutoscaler as a pure function of what it sees and when.

The algorithm is that of kubernetes/kubernetes v1.35, pkg/controller/podautoscaler (replica_calculator.go and
horizontal.go), as https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
describes it: the ratio of metric to target with a tolerance, pods without a metric and pods that are not
ready, stabilisation windows, and policies that limit a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

TOLERANCE = 0.1
"""The cluster's own (--horizontal-pod-autoscaler-tolerance); the HPA's may say otherwise."""


@dataclass(frozen=True)
class Seen:
    """What one sync sees of the pods.

    Attributes:
        values: the metric of each pod that has one.
        missing: pods that run and have no metric.
        unready: pods that are pending.
    """

    values: Sequence[float]
    missing: int = 0
    unready: int = 0

    @property
    def metric(self) -> float | None:
        """Mean of the pods that have a value, as the HPA reports it; None without any."""
        return sum(self.values) / len(self.values) if self.values else None


def wanted(current: int, seen: Seen, target: float, up: float = TOLERANCE, down: float = TOLERANCE) -> int:
    """Return how many replicas one metric asks for, before windows, policies and bounds.

    Args:
        current: replicas of the Deployment.
        target: mean value a pod that is to be kept.
        up, down: share by which the metric may be above or below it.
    """
    metric = seen.metric
    if metric is None:
        return current
    ratio = metric / target

    def near(value: float) -> bool:
        return 1 - down <= value <= 1 + up

    growing = seen.unready > 0 and ratio > 1
    if not growing and not seen.missing:
        return current if near(ratio) else ceil(ratio * len(seen.values) - 1e-9)
    # What is not known is taken for what speaks against a change.
    values = list(seen.values)
    values += [target if ratio < 1 else 0.0] * seen.missing
    values += [0.0] * (seen.unready if growing else 0)
    careful = sum(values) / len(values) / target
    if near(careful) or (ratio < 1 < careful) or (ratio > 1 > careful):
        return current
    count = ceil(careful * len(values) - 1e-9)
    if (careful < 1 and count > current) or (careful > 1 and count < current):
        return current
    return count


@dataclass
class Controller:
    """Turns recommendations into replicas, remembering what it needs of the past.

    Args:
        min, max: bounds of the replicas.
        behavior: `behavior` of an autoscaling/v2 HorizontalPodAutoscaler.
    """

    min: int
    max: int
    behavior: Mapping[str, Any]
    _recommendations: deque[tuple[float, int]] = field(default_factory=deque)
    _steps: deque[tuple[float, int]] = field(default_factory=deque)
    """When and by how much replicas were changed."""

    def tolerance(self, direction: str) -> float:
        """Return the tolerance of `scaleUp` or `scaleDown`."""
        return float(self.behavior[direction].get("tolerance", TOLERANCE))

    def decide(self, now: float, current: int, recommended: int) -> int:
        """Return the replicas to set at second `now`; `recommended` is the most that any metric asks for."""
        if current > self.max or current < self.min:
            desired = min(max(current, self.min), self.max)
        else:
            desired = self._limited(now, current, self._stable(now, current, recommended))
        if desired != current:
            self._steps.append((now, desired - current))
        return desired

    def _stable(self, now: float, current: int, recommended: int) -> int:
        """Return the recommendation that the windows let through."""
        up_window, down_window = (
            float(self.behavior[name]["stabilizationWindowSeconds"]) for name in ("scaleUp", "scaleDown")
        )
        lowest = highest = recommended
        for when, count in self._recommendations:
            if when > now - up_window:
                lowest = min(lowest, count)
            if when > now - down_window:
                highest = max(highest, count)
        self._recommendations.append((now, recommended))
        while self._recommendations and self._recommendations[0][0] <= now - max(up_window, down_window):
            self._recommendations.popleft()
        # Up to the lowest of the window that looks up, down to the highest of the one that looks down.
        return min(max(current, lowest), highest)

    def _limited(self, now: float, current: int, desired: int) -> int:
        """Return the replicas that policies and bounds let through."""
        if desired > current:
            limit = self._limit(now, current, "scaleUp")
            return min(desired, self.max, max(limit, current))
        if desired < current:
            limit = self._limit(now, current, "scaleDown")
            return max(desired, self.min, min(limit, current))
        return desired

    def _limit(self, now: float, current: int, direction: str) -> int:
        rules = self.behavior[direction]
        if rules.get("selectPolicy") == "Disabled":
            return current
        up = direction == "scaleUp"
        limits: list[int] = []
        for policy in rules["policies"]:
            since = now - float(policy["periodSeconds"])
            start = current - sum(change for when, change in self._steps if when > since)
            if policy["type"] == "Pods":
                limits.append(start + policy["value"] if up else start - policy["value"])
            elif up:
                limits.append(ceil(start * (1 + policy["value"] / 100) - 1e-9))
            else:
                limits.append(int(start * (1 - policy["value"] / 100) + 1e-9))
        most_change = rules.get("selectPolicy", "Max") == "Max"
        return max(limits) if up == most_change else min(limits)
