"""What Prometheus reads from this process.

requests_in_flight{model,model_version}                  gauge
requests_in_flight_seconds_total{model,model_version}    counter, ∫ requests in flight dt in seconds: its
                                                         rate() is the exact mean over any window
http_server_request_duration_seconds{model,model_version,route,code}   histogram, OpenTelemetry's buckets
model_infer_duration_seconds{model,model_version}        histogram, the model alone
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from mlk8s.series import REQUEST_BUCKETS, REQUESTS

CONTENT_TYPE = CONTENT_TYPE_LATEST

# A small model answers in microseconds: finer buckets below.
_INFER_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, *REQUEST_BUCKETS)


class InFlight(Collector):
    """Counts requests in flight and their time integral; used from the event loop's thread only."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = (model, version)
        self.now = 0
        self._seconds = 0.0
        self._since = time.perf_counter()

    def enter(self) -> None:
        """A request has come."""
        self._integrate()
        self.now += 1

    def leave(self) -> None:
        """Its answer is out."""
        self._integrate()
        self.now -= 1

    def collect(self) -> Iterator[Metric]:
        """Gauge and integral, up to this moment."""
        self._integrate()
        names = ("model", "model_version")
        gauge = GaugeMetricFamily("requests_in_flight", "Infer requests being answered now.", labels=names)
        gauge.add_metric(self._labels, self.now)
        yield gauge
        total = CounterMetricFamily(
            "requests_in_flight_seconds", "Time integral of requests in flight, in seconds.", labels=names
        )
        total.add_metric(self._labels, self._seconds)
        yield total

    def _integrate(self) -> None:
        now = time.perf_counter()
        self._seconds += self.now * (now - self._since)
        self._since = now


class Metrics:
    """All metrics of one model in this process."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = (model, version)
        self._registry = CollectorRegistry()
        self.in_flight = InFlight(model, version)
        self._registry.register(self.in_flight)
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            REQUESTS,
            "Duration of HTTP requests, probes and /metrics left out.",
            ("model", "model_version", "route", "code"),
            buckets=REQUEST_BUCKETS,
            registry=self._registry,
        )
        infer = Histogram(
            "model_infer_duration_seconds",
            "Duration of the model's own work for one request.",
            ("model", "model_version"),
            buckets=_INFER_BUCKETS,
            registry=self._registry,
        )
        self.observe_infer = infer.labels(model, version).observe
        self._bound: dict[tuple[str, int], Histogram] = {}

    def observe_request(self, route: str, code: int, seconds: float) -> None:
        """Count a request; the child of its labels is looked up once."""
        child = self._bound.get((route, code))
        if child is None:
            child = self._bound[route, code] = self._requests.labels(*self._labels, route, str(code))
        child.observe(seconds)

    def text(self) -> bytes:
        """The exposition, in Prometheus' text format."""
        return generate_latest(self._registry)
