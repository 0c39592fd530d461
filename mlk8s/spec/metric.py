"""A number that an autoscaler follows, declared once: where it comes from and what it is of."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlk8s import series
from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Labels, Seconds, dns_label

_METRIC = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SERIES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PROMETHEUS_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

RESOURCES = ("cpu", "memory")
"""What the resource metrics API has of every pod; targets are percent of the request."""


def _metric_name(value: str) -> str:
    if not _METRIC.fullmatch(value):
        raise ValueError("expected a metric name of lower-case letters, digits and '_', such as queue_length")
    if value in RESOURCES:
        raise ValueError("is Kubernetes' own; expected another name")
    return value


def _series_name(value: str) -> str:
    if not _SERIES.fullmatch(value):
        raise ValueError(
            "expected the name of a Prometheus series, such as jobs_queued or http_requests_total"
        )
    return value


def _prometheus_labels(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not _PROMETHEUS_LABEL.fullmatch(name):
            raise ValueError(f"label {name!r}: expected a Prometheus label of letters, digits and '_'")
    return value


class Metric(Spec):
    """One metric in Prometheus, from which the adapter's rule, the HPA's entry and KEDA's query are made.

    Attributes:
        name: as the metrics APIs call it.
        kind: `pods`, a value of each pod (the series has the labels namespace and pod); `object`, a value of
            one object (namespace, and the object's kind in lower case); `external`, a value of something
            outside Kubernetes.
        series: the series in Prometheus.
        rate: for a counter, the window in seconds over which its rate a second is taken; None takes values.
        aggregate: how several series of one pod, object or selection become one number.
        labels: only series with these labels; an external metric's are chosen by its HPA, so they have to be
            valid as Kubernetes labels.
        of: kind of the object that an `object` metric is of.
        unit: for people, such as 'requests' or 'bytes'.
    """

    name: Annotated[str, AfterValidator(_metric_name)]
    kind: Literal["pods", "object", "external"] = "pods"
    series: Annotated[str, AfterValidator(_series_name)]
    rate: Annotated[Seconds, Field(ge=2, le=3600)] | None = None
    aggregate: Literal["sum", "avg", "max", "min"] = "sum"
    labels: Annotated[Labels, AfterValidator(_prometheus_labels)] = {}
    of: Literal["Service", "Ingress", "Deployment"] = "Service"
    unit: Annotated[str, Field(max_length=40)] = ""


IN_FLIGHT = Metric(name="requests_in_flight", series=series.IN_FLIGHT_SECONDS, rate=10, unit="requests")
REQUEST_RATE = Metric(
    name="requests_per_second", series=f"{series.REQUESTS}_count", rate=10, unit="requests per second"
)
SERVICE_RATE = Metric(
    name="service_requests_per_second",
    kind="object",
    series=f"{series.REQUESTS}_count",
    rate=10,
    unit="requests per second",
)
INGRESS_RATE = Metric(
    name="ingress_requests_per_second",
    kind="external",
    series="traefik_router_requests_total",
    rate=10,
    unit="requests per second",
)
"""As the ingress controller counts them, those that no pod answered included. Its label `ingress` is
NAMESPACE-NAME."""

BUILT_IN = {item.name: item for item in (IN_FLIGHT, REQUEST_RATE, SERVICE_RATE, INGRESS_RATE)}
"""The metrics that every model service has where the platform is installed."""

BuiltIn = Literal[
    "requests_in_flight",
    "requests_per_second",
    "service_requests_per_second",
    "ingress_requests_per_second",
    "cpu",
    "memory",
]


class Follow(Spec):
    """One metric and the value that the autoscaler keeps it at.

    Attributes:
        metric: one of the built-in names, or a metric of one's own.
        target: `cpu` and `memory` in percent of the request; anything else in the metric's unit.
        per: `pod` divides by the number of pods before it compares; `total` compares the value as it is:
            only for a metric of an object or of something outside.
        name: the object that an object metric is of; None means the service's own.
    """

    metric: BuiltIn | Metric
    target: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    per: Literal["pod", "total"] = "pod"
    name: Annotated[str, AfterValidator(dns_label)] | None = None

    @property
    def resource(self) -> str | None:
        """The resource, where it is one of `RESOURCES`."""
        return self.metric if isinstance(self.metric, str) and self.metric in RESOURCES else None

    @property
    def declared(self) -> Metric | None:
        """The metric, None for a resource."""
        return BUILT_IN.get(self.metric) if isinstance(self.metric, str) else self.metric

    @model_validator(mode="after")
    def _fits(self) -> Follow:
        if self.resource is not None and not 1 <= self.target <= 1000:
            raise ValueError(f"target {self.target:g} of {self.resource} is in percent; expected 1 to 1000")
        kind = self.declared.kind if self.declared is not None else "resource"
        if self.per == "total" and kind not in ("object", "external"):
            raise ValueError("per 'total' is for object and external metrics; expected 'pod'")
        if self.name is not None and kind != "object":
            raise ValueError("name is for object metrics; expected none")
        return self
