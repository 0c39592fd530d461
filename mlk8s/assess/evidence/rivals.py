"""The documented rules of Flagger and Argo Rollouts, read from their own YAML, to compare on the same counts.

Flagger (docs/gitbook/usage/how-it-works.md, pkg/controller/scheduler.go): every `interval` each metric is one
number in a range; a miss, or no value, adds to a count that is never reset, and `threshold` of them roll
back; else the weight grows by `stepWeight` until `maxWeight` was held once.
Argo Rollouts (analysis/analysis.go, utils/evaluate/evaluate.go): every `interval` each metric is measured,
successful, failed, inconclusive or an error by its conditions; more than `failureLimit` (0),
`inconclusiveLimit` (0) or, in a row, `consecutiveErrorLimit` (4) of them end the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Literal, Protocol

from mlk8s.assess.evidence.blocks import Counts
from mlk8s.assess.evidence.conditions import Condition
from mlk8s.errors import UsageError
from mlk8s.spec.analysis import Step
from mlk8s.spec.fields import parse_duration

Meaning = Literal["success rate", "error rate", "slow share"]
End = Literal["promote", "rollback", "inconclusive"]
RAMP = tuple(Step(weight=weight, pause=60.0) for weight in range(5, 55, 5))
"""5 % more each minute up to 50 %: Flagger's own example, for rules that bring no weights."""


class Rule(Protocol):
    """A rule that looks at what was counted since its last look.

    Attributes:
        name: for tables.
        interval: seconds between looks.
        weight: percent that the canary gets now.
    """

    name: str
    interval: float
    weight: int

    def look(self, counts: Counts) -> End | None:
        """Judge what was counted in one interval; None goes on."""

    def fresh(self) -> Rule:
        """Return the same rule at its beginning."""


@dataclass(frozen=True)
class Check:
    """One metric of a Flagger Canary: a percentile of Counts.slow (None: the success rate) and its range."""

    percentile: str | None
    low: float | None
    high: float | None

    def passes(self, counts: Counts) -> bool:
        """Tell whether the value is in its range; without a request there is no value, which fails."""
        if not counts.requests:
            return False
        if self.percentile is not None:
            slow, right = counts.of(self.percentile)
            return bool(right) and slow <= (1 - int(self.percentile[1:]) / 100) * right
        rate = 100 * (1 - counts.errors / counts.requests)
        return (self.low is None or rate >= self.low) and (self.high is None or rate <= self.high)


class Flagger:
    """Flagger's progressive canary.

    Args:
        interval: seconds.
        threshold: failed checks that roll back.
        max_weight, step_weight: percent.
        checks: one a metric.
    """

    def __init__(
        self, *, interval: float, threshold: int, max_weight: int, step_weight: int, checks: Sequence[Check]
    ) -> None:
        self.interval, self.threshold, self.checks = interval, threshold, tuple(checks)
        self.max_weight, self.step_weight = max_weight, step_weight
        self.name = f"Flagger, threshold {threshold}"
        self.weight, self._failed = min(step_weight, max_weight), 0

    def fresh(self) -> Flagger:
        return Flagger(
            interval=self.interval, threshold=self.threshold, max_weight=self.max_weight,
            step_weight=self.step_weight, checks=self.checks,
        )  # fmt: skip

    def look(self, counts: Counts) -> End | None:
        if not all(check.passes(counts) for check in self.checks):
            self._failed += 1
            return "rollback" if self._failed >= self.threshold else None
        if self.weight >= self.max_weight:
            return "promote"
        self.weight = min(self.max_weight, self.weight + self.step_weight)
        return None

    @classmethod
    def read(cls, manifest: Mapping[str, Any], latency: Mapping[str, float]) -> Flagger:
        """Return the rule of a Flagger Canary.

        Args:
            manifest: the parsed YAML.
            latency: bounds in seconds by percentile that the counts know; `request-duration` needs its own.

        Raises:
            UsageError: it is no Canary, or has a metric that counts cannot answer.
        """
        where = f"Canary {(manifest.get('metadata') or {}).get('name', '?')}"
        spec = manifest.get("spec") or {}
        analysis = spec.get("analysis") or spec.get("canaryAnalysis")
        if manifest.get("kind") != "Canary" or not analysis:
            raise _refused(f"kind is {manifest.get('kind')!r}", where, "a Flagger Canary with spec.analysis")
        if analysis.get("iterations") or analysis.get("match"):
            raise _refused(
                "it has iterations or match (A/B test or blue/green)", where, "maxWeight with stepWeight"
            )
        if analysis.get("stepWeights") or not analysis.get("stepWeight"):
            raise _refused("it has no stepWeight", where, "maxWeight with stepWeight")
        return cls(
            interval=parse_duration(analysis.get("interval", "60s")),
            threshold=int(analysis.get("threshold", 1)),
            max_weight=int(analysis.get("maxWeight", 100)),
            step_weight=int(analysis["stepWeight"]),
            checks=[_flagger_check(item, latency, where) for item in analysis.get("metrics") or []],
        )


@dataclass(frozen=True)
class Metric:
    """One metric of an Argo AnalysisTemplate."""

    name: str
    meaning: Meaning
    percentile: str | None
    scale: float  # 100 where its conditions speak of percent
    success: Condition | None
    failure: Condition | None
    count: int | None
    failure_limit: int
    inconclusive_limit: int
    error_limit: int

    def measure(self, counts: Counts) -> Literal["Successful", "Failed", "Inconclusive", "Error"]:
        """Return the phase of one measurement; a rate of no requests is NaN, as PromQL's 0 / 0."""
        bad, all_ = counts.of(self.percentile or "errors")
        share = bad / all_ if all_ else nan
        value = self.scale * (1 - share if self.meaning == "success rate" else share)
        try:
            success = self.success(value) if self.success else None
            failure = self.failure(value) if self.failure else None
        except ValueError:
            return "Error"
        if success is None and failure is None:
            return "Successful"
        failure = not success if failure is None else failure
        success = not failure if success is None else success
        return "Failed" if failure else "Successful" if success else "Inconclusive"


class Argo:
    """Argo Rollouts with a background analysis, through the steps of a rollout.

    Args:
        interval: seconds between measurements.
        metrics: one or more.
        steps: weights and pauses of the Rollout.
    """

    def __init__(self, *, interval: float, metrics: Sequence[Metric], steps: Sequence[Step] = RAMP) -> None:
        self.interval, self.metrics, self.steps = interval, tuple(metrics), tuple(steps)
        self.name = f"Argo, failureLimit {self.metrics[0].failure_limit}"
        self.weight = self.steps[0].weight
        self._elapsed = 0.0
        self._tally = {item.name: {"Failed": 0, "Inconclusive": 0, "Error": 0, "all": 0} for item in metrics}

    def fresh(self) -> Argo:
        return Argo(interval=self.interval, metrics=self.metrics, steps=self.steps)

    def look(self, counts: Counts) -> End | None:
        self._elapsed += self.interval
        for metric in self.metrics:
            ended = self._assess(metric, counts)
            if ended:
                return ended
        return self._advance()

    def _assess(self, metric: Metric, counts: Counts) -> End | None:
        tally = self._tally[metric.name]
        if metric.count is not None and tally["all"] >= metric.count:
            return None  # this metric is done, and was successful
        phase = metric.measure(counts)
        tally["Error"] = tally["Error"] + 1 if phase == "Error" else 0
        tally["all"] += phase != "Error"
        if phase in ("Failed", "Inconclusive"):
            tally[phase] += 1
        if tally["Failed"] > metric.failure_limit or tally["Error"] > metric.error_limit:
            return "rollback"
        return "inconclusive" if tally["Inconclusive"] > metric.inconclusive_limit else None

    def _advance(self) -> End | None:
        until = 0.0
        for step in self.steps:
            until += step.pause
            if self._elapsed < until - 1e-9:
                self.weight = step.weight
                return None
        return "promote"

    @classmethod
    def read(
        cls,
        manifest: Mapping[str, Any],
        latency: Mapping[str, float],
        *,
        steps: Sequence[Step] = RAMP,
        meanings: Mapping[str, str] | None = None,
    ) -> Argo:
        """Return the rule of an AnalysisTemplate.

        Args:
            manifest: the parsed YAML.
            latency: bounds in seconds by percentile that the counts know.
            steps: the Rollout's weights and pauses.
            meanings: by metric, what its query returns: 'success rate', 'error rate' or a percentile's name
                for the share of requests above its bound; needed where the metric's name does not say it.

        Raises:
            UsageError: it is no AnalysisTemplate, or has a condition or metric that is not understood.
        """
        where = f"AnalysisTemplate {(manifest.get('metadata') or {}).get('name', '?')}"
        metrics = (manifest.get("spec") or {}).get("metrics")
        if manifest.get("kind") not in ("AnalysisTemplate", "ClusterAnalysisTemplate") or not metrics:
            raise _refused(
                f"kind is {manifest.get('kind')!r}", where, "an Argo AnalysisTemplate with spec.metrics"
            )
        intervals = {parse_duration(item["interval"]) for item in metrics if item.get("interval")}
        if len(intervals) != 1:
            raise _refused(
                "its metrics have no interval, or different ones", where, "one interval for all metrics"
            )
        read = [_argo_metric(item, latency, meanings or {}, where) for item in metrics]
        return cls(interval=intervals.pop(), metrics=read, steps=steps)


def read_rule(
    manifest: Mapping[str, Any],
    latency: Mapping[str, float],
    *,
    steps: Sequence[Step] = RAMP,
    meanings: Mapping[str, str] | None = None,
) -> Rule:
    """Return the rule of a Flagger Canary or an Argo AnalysisTemplate.

    Raises:
        UsageError: it is neither, or has something that is not understood.
    """
    if manifest.get("kind") == "Canary":
        return Flagger.read(manifest, latency)
    return Argo.read(manifest, latency, steps=steps, meanings=meanings)


def _flagger_check(item: Mapping[str, Any], latency: Mapping[str, float], where: str) -> Check:
    name, limits = item.get("name"), item.get("thresholdRange") or {}
    low, high = limits.get("min"), limits.get("max")
    if not limits and "threshold" in item:
        low, high = (item["threshold"], None) if name == "request-success-rate" else (None, item["threshold"])
    if name == "request-success-rate" and not item.get("templateRef"):
        return Check(None, _number(low), _number(high))
    if name == "request-duration" and not item.get("templateRef"):
        fitting = [
            key for key, bound in latency.items() if high is not None and abs(1000 * bound - high) < 1e-6
        ]
        if low is not None or "p99" not in fitting:
            raise _refused(
                f"request-duration (P99) has the range {dict(limits)}",
                where,
                f"max of a counted p99: {_bounds(latency)}",
            )
        return Check("p99", None, None)
    raise _refused(
        f"metric {name!r} has a query of its own", where, "request-success-rate or request-duration"
    )


def _argo_metric(
    item: Mapping[str, Any], latency: Mapping[str, float], meanings: Mapping[str, str], where: str
) -> Metric:
    name = str(item.get("name"))
    success, failure = (
        Condition(item[key], f"{where}, metric {name}, {key}") if item.get(key) else None
        for key in ("successCondition", "failureCondition")
    )
    meaning = meanings.get(name) or _guessed(name)
    if meaning not in ("success rate", "error rate", *latency):
        raise _refused(
            f"what the query of metric {name!r} returns is not known",
            where,
            f"meanings={{{name!r}: ...}}, one of {', '.join(('success rate', 'error rate', *latency))}",
        )
    numbers = [value for rule in (success, failure) if rule for value in rule.bounds()]
    count = item.get("count")
    return Metric(
        name=name,
        meaning="slow share" if meaning in latency else meaning,  # type: ignore[arg-type]
        percentile=meaning if meaning in latency else None,
        scale=100.0 if any(value > 1 for value in numbers) else 1.0,
        success=success,
        failure=failure,
        count=None if count is None else int(count),
        failure_limit=int(item.get("failureLimit", 0)),
        inconclusive_limit=int(item.get("inconclusiveLimit", 0)),
        error_limit=int(item.get("consecutiveErrorLimit", 4)),
    )


def _guessed(name: str) -> str:
    words = name.lower().replace("_", "-")
    if words in ("success-rate", "request-success-rate"):
        return "success rate"
    return "error rate" if words in ("error-rate", "request-error-rate") else ""


def _bounds(latency: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {1000 * bound:g} ms" for name, bound in latency.items()) or "none is counted"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _refused(what: str, where: str, expected: str) -> UsageError:
    return UsageError(what, where=where, expected=expected)
