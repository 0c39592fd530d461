"""How many pods, and by which measure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Seconds

Metric = Literal["requests_in_flight", "requests_per_second", "cpu", "memory"]


class Autoscale(Spec):
    """A HorizontalPodAutoscaler (autoscaling/v2) of one Deployment.

    Attributes:
        min: fewest replicas, 1 or more.
        max: most replicas, at least `min`.
        metric: `requests_in_flight` and `requests_per_second` are means a pod from the custom metrics API;
            `cpu` and `memory` are percent of the request from the resource metrics API.
        target: mean value a pod that the autoscaler keeps.
        scale_up_stabilization: seconds that a higher recommendation must last; 0 scales up at once.
        scale_down_stabilization: seconds that a lower recommendation must last.
    """

    min: Annotated[int, Field(ge=1, le=1000, strict=True)] = 2
    max: Annotated[int, Field(ge=1, le=1000, strict=True)]
    metric: Metric = "requests_in_flight"
    target: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    scale_up_stabilization: Annotated[Seconds, Field(le=3600)] = 0.0
    scale_down_stabilization: Annotated[Seconds, Field(le=3600)] = 60.0

    @model_validator(mode="after")
    def _ordered(self) -> Autoscale:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; expected min <= max")
        if self.metric in ("cpu", "memory") and not 1 <= self.target <= 1000:
            raise ValueError(f"target {self.target:g} of {self.metric} is in percent; expected 1 to 1000")
        return self
