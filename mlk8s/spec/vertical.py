"""How much CPU and memory a pod gets, found by watching it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Quantity, parse_quantity

Resource = Literal["cpu", "memory"]


def _positive(value: dict[Resource, str]) -> dict[Resource, str]:
    for name, quantity in value.items():
        if parse_quantity(quantity) <= 0:
            raise ValueError(f"{name} {quantity}: expected more than 0")
    return value


Amounts = Annotated[dict[Resource, Quantity], AfterValidator(_positive)]
"""Quantities of cpu and memory."""


class Vertical(Spec):
    """A VerticalPodAutoscaler of one Deployment's model server; sidecars keep what they ask for.

    Attributes:
        mode: `Off` only recommends; `Initial` gives new pods what is recommended; `InPlaceOrRecreate`
            changes running pods too, without a restart where the node can (Kubernetes 1.33 or later), else
            by eviction.
        min: lower bounds of a recommendation, such as {"cpu": "100m", "memory": "128Mi"}.
        max: upper bounds.
        resources: what is recommended.
    """

    mode: Literal["Off", "Initial", "InPlaceOrRecreate"] = "Off"
    min: Amounts = {}
    max: Amounts = {}
    resources: Annotated[tuple[Resource, ...], Field(min_length=1, max_length=2)] = ("cpu", "memory")

    @model_validator(mode="after")
    def _ordered(self) -> Vertical:
        if len(set(self.resources)) < len(self.resources):
            raise ValueError(f"resources {', '.join(self.resources)}: expected each one once")
        for name in (*self.min, *self.max):
            if name not in self.resources:
                raise ValueError(f"a bound of {name} is given, which is not in resources")
        for name, least in self.min.items():
            most = self.max.get(name)
            if most is not None and parse_quantity(least) > parse_quantity(most):
                raise ValueError(f"min {name} {least} is above max {most}; expected min <= max")
        return self
