"""How a canary is judged: the promise it has to keep, the errors accepted, the way to full weight."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Seconds, Weight
from mlk8s.spec.load import Slo

MAX_BLOCKS = 5_000
"""Most blocks of one analysis: all of them are kept, so that a verdict can be replayed."""
ASSUMED_BURST = 4
"""Requests that one cause fails together as long as no block shows otherwise (see benchmarks/canary.py)."""

Budget = Annotated[float, Field(gt=0, le=0.2)]
Errors = Literal["independent", "adaptive", "correlated"]
AtDeadline = Literal["rollback", "promote", "hold"]


class Step(Spec):
    """One step of a rollout: a weight, held for a time.

    Args:
        weight: percent of the requests that the canary gets, 1 to 100.
        pause: time for which it is held at least, "1m" or seconds (up to a day).
    """

    weight: Annotated[Weight, Field(ge=1)]
    pause: Annotated[Seconds, Field(gt=0, le=86_400)] = 60.0


class Analysis(Spec):
    """What a canary has to show before it is promoted, and when it is rolled back.

    Args:
        slo: bounds that the canary has to keep: each is a metric with evidence of its own.
        alpha: probability that a version within its bounds is rolled back by evidence, over all metrics and
            hypotheses together and however often it is looked at; split evenly, and stated in each decision.
        beta: probability that a version outside any of its bounds is promoted by evidence.
        errors: what is assumed of requests in one block. 'independent': each fails by itself. 'adaptive':
            clusters that the blocks of both versions show weaken the evidence. 'correlated': up to `burst`
            of them, or all, share one fate; without `burst` a block then counts as one observation.
        burst: requests that one cause fails together (2 to 10,000): with 'correlated' the most, with
            'adaptive' what is assumed before the blocks show it (4 where nothing is given).
        margin: share of the SLO's bound by which the canary may be worse than the concurrent stable version
            (non-inferiority margin, 0 to 1); None compares with the SLO only.
        block: length of a time block, at least two scrape intervals.
        bake: time that the canary gets requests at least before it can be promoted.
        deadline: time after which the verdict is `inconclusive`.
        at_deadline: what is done then: 'rollback', 'promote', or 'hold' the weight and ask.
        steps: weights and pauses, ascending; without them the weight grows with the evidence.
        min_weight: first weight without steps, in percent.
        max_weight: largest weight without steps, in percent.
        promote_from: weight from which on the canary may be promoted: for faults that only load brings out.
        max_harmed_requests: requests beyond the share that the SLO allows which the canary may fail or slow
            down; it limits the weight without steps, and ends the rollout when it is used up.

    Raises:
        SpecError: when a value is outside its range, or fields contradict each other.
    """

    slo: Slo
    alpha: Budget = 0.01
    beta: Budget = 0.01
    errors: Errors = "adaptive"
    burst: Annotated[int, Field(ge=2, le=10_000, strict=True)] | None = None
    margin: Annotated[float, Field(ge=0, le=1)] | None = 0.25
    block: Annotated[Seconds, Field(ge=1, le=600)] = 10.0
    bake: Annotated[Seconds, Field(ge=0, le=86_400)] = 120.0
    deadline: Annotated[Seconds, Field(gt=0, le=604_800)] = 1_800.0
    at_deadline: AtDeadline = "rollback"
    steps: Annotated[tuple[Step, ...], Field(max_length=100)] = ()
    min_weight: Annotated[Weight, Field(ge=1)] = 5
    max_weight: Annotated[Weight, Field(ge=1)] = 50
    promote_from: Weight = 0
    max_harmed_requests: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = 100

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 2 * self.block <= self.deadline <= MAX_BLOCKS * self.block:
            raise ValueError(
                f"deadline is {self.deadline:g} s; expected 2 to {MAX_BLOCKS:,} blocks of {self.block:g} s"
            )
        if self.bake >= self.deadline:
            raise ValueError(
                f"bake is {self.bake:g} s; expected less than the deadline of {self.deadline:g} s"
            )
        if self.burst is not None and self.errors == "independent":
            raise ValueError(f"burst is {self.burst}; expected none with errors='independent'")
        self._check_bounds()
        self._check_weights()
        return self

    def _check_bounds(self) -> None:
        if self.slo.errors is not None and not 0 < self.slo.errors < 1:
            raise ValueError(
                f"slo.errors is {self.slo.errors:g}; expected more than 0 and less than 1: no number of "
                "requests shows that a version never fails"
            )

    def _check_weights(self) -> None:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError(f"steps have weights {weights}; expected them ascending")
        if self.steps and {"min_weight", "max_weight"} & self.model_fields_set:
            raise ValueError("min_weight and max_weight belong to a rollout without steps")
        if not self.steps and self.min_weight > self.max_weight:
            raise ValueError(
                f"min_weight is {self.min_weight}; expected at most max_weight, {self.max_weight}"
            )
        if self.promote_from > self.top_weight:
            raise ValueError(
                f"promote_from is {self.promote_from}; expected at most the largest weight, {self.top_weight}"
            )

    @property
    def metrics(self) -> dict[str, float]:
        """Largest accepted share of bad requests by metric: 'errors', then the percentiles (0.01 for p99)."""
        shares = {name: (100 - int(name[1:])) / 100 for name in self.slo.latency}
        return ({} if self.slo.errors is None else {"errors": self.slo.errors}) | shares

    @property
    def first_weight(self) -> int:
        """Weight that a rollout begins with, in percent."""
        return self.steps[0].weight if self.steps else self.min_weight

    @property
    def top_weight(self) -> int:
        """Largest weight before the promotion, in percent."""
        return self.steps[-1].weight if self.steps else self.max_weight
