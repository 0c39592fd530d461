"""How many pods, and by which measures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Seconds
from mlk8s.spec.metric import BuiltIn, Follow, Metric


class Policy(Spec):
    """How much one step may change.

    Attributes:
        type: `Pods`, a number of them, or `Percent` of those that run.
        value: 1 or more.
        period: seconds in which no more than that is added or removed.
    """

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(ge=1, le=1000, strict=True)]
    period: Annotated[Seconds, Field(ge=1, le=1800)] = 15.0


class Behavior(Spec):
    """How fast an autoscaler moves in one direction.

    Attributes:
        stabilization: seconds that a recommendation must last; None means Autoscale's own.
        policies: None means Autoscale's own.
        select: `Max` takes the policy that allows most, `Min` the one that allows least; `Disabled` never
            moves in this direction.
        tolerance: share by which the metric may be off its target without a change; None means the
            cluster's, 0.1 by default (https://kep.k8s.io/4951; beta and on from Kubernetes 1.35).
    """

    stabilization: Annotated[Seconds, Field(le=3600)] | None = None
    policies: Annotated[tuple[Policy, ...], Field(min_length=1, max_length=8)] | None = None
    select: Literal["Max", "Min", "Disabled"] = "Max"
    tolerance: Annotated[float, Field(ge=0, lt=1)] | None = None


class Autoscale(Spec):
    """An autoscaler of one Deployment: a HorizontalPodAutoscaler (autoscaling/v2), or KEDA's ScaledObject.

    Attributes:
        min: fewest replicas; 0 with KEDA only.
        max: most replicas, at least `min`.
        metric: a built-in metric or one of one's own, where one is enough; `requests_in_flight` and
            `requests_per_second` are means a pod, `cpu` and `memory` percent of the request.
        target: value of `metric` that the autoscaler keeps.
        metrics: several at once instead; the one that asks for most pods decides.
        scale_up_stabilization: seconds that a higher recommendation must last; 0 scales up at once.
        scale_down_stabilization: seconds that a lower recommendation must last.
        scale_up, scale_down: behaviour in detail.
        scaler: `hpa`, or `keda`, which can go to zero and back.
        cooldown: KEDA: seconds without demand until there are no pods; 300 by default.
        polling: KEDA: seconds between two looks while there are no pods; 5 by default.
        activation: KEDA: value of the metric above which there is demand; 0 by default.
    """

    min: Annotated[int, Field(ge=0, le=1000, strict=True)] = 2
    max: Annotated[int, Field(ge=1, le=1000, strict=True)]
    metric: BuiltIn | Metric = "requests_in_flight"
    target: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    metrics: Annotated[tuple[Follow, ...], Field(max_length=16)] = ()
    scale_up_stabilization: Annotated[Seconds, Field(le=3600)] = 0.0
    scale_down_stabilization: Annotated[Seconds, Field(le=3600)] = 60.0
    scale_up: Behavior = Behavior()
    scale_down: Behavior = Behavior()
    scaler: Literal["hpa", "keda"] = "hpa"
    cooldown: Annotated[Seconds, Field(ge=1, le=86_400)] | None = None
    polling: Annotated[Seconds, Field(ge=1, le=3600)] | None = None
    activation: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def followed(self) -> tuple[Follow, ...]:
        """Every metric with its target."""
        if self.target is None:
            return self.metrics
        return (Follow(metric=self.metric, target=self.target),)

    @model_validator(mode="after")
    def _ordered(self) -> Autoscale:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; expected min <= max")
        return self

    @model_validator(mode="after")
    def _one_form(self) -> Autoscale:
        if self.metrics and (self.target is not None or self.metric != "requests_in_flight"):
            raise ValueError("metrics and metric with target are both given; expected one of the two forms")
        if not self.metrics and self.target is None:
            raise ValueError("target is required (or metrics=(Follow(metric=..., target=...), ...))")
        self.followed  # noqa: B018 - a Follow checks its target
        names = [item.metric if isinstance(item.metric, str) else item.metric.name for item in self.metrics]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"metric {twice} is followed twice; expected each one once")
        return self

    @model_validator(mode="after")
    def _of_its_scaler(self) -> Autoscale:
        if self.scaler == "hpa":
            if self.min == 0:
                raise ValueError("min is 0, which only scaler='keda' can do; expected 1 or more")
            for name in ("cooldown", "polling", "activation"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is given without scaler='keda', the only one that has it")
        elif self.min == 0 and all(item.resource for item in self.followed):
            raise ValueError(
                "min is 0 and every metric is of running pods; expected one that tells of demand without "
                "them, such as requests_in_flight"
            )
        return self
