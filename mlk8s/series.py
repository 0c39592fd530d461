"""The series that a model server exposes: names and bounds that servers, rules and dashboards share."""

from __future__ import annotations

REQUESTS = "http_server_request_duration_seconds"
"""Histogram of answered requests, labels model, model_version, route, code."""

IN_FLIGHT_SECONDS = "requests_in_flight_seconds_total"
"""Time integral of requests in flight: its rate() is the exact mean."""

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds in seconds, https://opentelemetry.io/docs/specs/semconv/http/http-metrics/."""
