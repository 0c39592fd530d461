"""What must not go unnoticed: the promise of a service, watched by Prometheus."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mlk8s.series import REQUEST_BUCKETS
from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Name, Namespace
from mlk8s.spec.load import Slo


class Alerts(Spec):
    """Recording and alerting rules of one model service.

    Attributes:
        service: name of the ModelService.
        namespace: None means the connection's namespace.
        slo: what is promised; its error share and its latency bounds are watched as error budgets of 30 days.
        max_in_flight: requests a pod holds before it refuses more; 80 % of it for 5 minutes is saturation.
        max_replicas: most pods the autoscaler may start; None where nothing scales the service.

    Raises:
        SpecError: a latency bound is below the histogram's first bucket, or an error budget is empty.
    """

    service: Name
    namespace: Namespace | None = None
    slo: Slo
    max_in_flight: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 256
    max_replicas: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None

    @model_validator(mode="after")
    def _measurable(self) -> Alerts:
        for name, bound in self.slo.latency.items():
            if bound < REQUEST_BUCKETS[0]:
                raise ValueError(
                    f"slo.{name} is {bound:g} s; expected at least {REQUEST_BUCKETS[0]:g} s, "
                    "the first bucket that the servers count"
                )
        if self.slo.errors == 0:
            raise ValueError("slo.errors is 0, a budget that any error empties; expected more than 0")
        return self
