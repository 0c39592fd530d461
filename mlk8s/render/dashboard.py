"""A Grafana dashboard of one model service, as the JSON that Grafana imports."""

from __future__ import annotations

from mlk8s.render.alerts import error_ratio
from mlk8s.render.common import Manifest, digest
from mlk8s.series import IN_FLIGHT_SECONDS, REQUEST_BUCKETS, REQUESTS
from mlk8s.spec.alerts import Alerts

_SCHEMA = 39  # of Grafana 10 and later
_WIDTH, _HEIGHT = 12, 8  # two panels a row of Grafana's 24 columns
_RATE = "[$__rate_interval]"


def dashboard(spec: Alerts, namespace: str) -> Manifest:
    """Return the dashboard: load, errors and latency against the promise, pods and how full they are.

    Every panel names its unit and says in its description what is drawn; the promised bounds are lines.
    """
    where = f'namespace="{namespace}",service="{spec.service}"'
    infer = f'{where},route=~".*/infer"'
    requests = f"rate({REQUESTS}_count{{{infer}}}{_RATE})"
    buckets = f"sum by (le) (rate({REQUESTS}_bucket{{{infer}}}{_RATE}))"
    errors = f'rate({REQUESTS}_count{{{infer},code=~"5.."}}{_RATE})'
    bound = min(spec.slo.latency.values(), default=None)
    panels = [
        _panel(
            "Requests by version", "reqps", "Answered requests a second, by the model version that answered.",
            {f"sum by (model_version) ({requests})": "version {{model_version}}"},
        ),
        _panel(
            "Share of 5xx answers", "percentunit", "Failed requests by version; the line is the promise.",
            {f"sum by (model_version) ({errors}) / sum by (model_version) ({requests})":
             "version {{model_version}}"},
            line=spec.slo.errors,
        ),
        _panel(
            "Latency", "s", "Percentiles as the servers count them; the line is the strictest promise.",
            {f"histogram_quantile({share}, {buckets})": name
             for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
            line=bound,
        ),
        _panel(
            "Latency distribution", "s", f"Requests a second in each of {len(REQUEST_BUCKETS)} buckets.",
            {buckets: "{{le}}"}, kind="heatmap", form="heatmap",
        ),
        _panel(
            "Pods that answer", "none", "Pods that Prometheus reaches; the line is the autoscaler's maximum.",
            {f"sum(up{{{where}}})": "pods"}, line=spec.max_replicas,
        ),
        _panel(
            "Requests in flight a pod", "none", "Mean by pod; above the line a pod answers 503.",
            {f"rate({IN_FLIGHT_SECONDS}{{{where}}}{_RATE})": "{{pod}}"}, line=spec.max_in_flight,
        ),
        _panel(
            "Error budget burnt", "percentunit", "Share of failed requests over an hour and over six.",
            {f"{error_ratio(window)}{{{where}}}": window for window in ("1h", "6h")}, line=spec.slo.errors,
        ),
        _panel(
            "CPU a pod", "none", "Cores, from the kubelet.",
            {f'sum by (pod) (rate(container_cpu_usage_seconds_total{{namespace="{namespace}",'
             f'pod=~"{spec.service}-.*"}}{_RATE}))': "{{pod}}"},
        ),
    ]  # fmt: skip
    for place, panel in enumerate(panels):
        column, row = place % 2, place // 2
        panel["id"] = place + 1
        panel["gridPos"] = {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT}
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": f"mlk8s-{digest([namespace, spec.service])}",
        "title": f"{spec.service} ({namespace})",
        "tags": ["mlk8s", "model-server"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


def _panel(
    title: str,
    unit: str,
    description: str,
    queries: dict[str, str],
    *,
    line: float | None = None,
    kind: str = "timeseries",
    form: str = "time_series",
) -> Manifest:
    steps: list[Manifest] = [{"color": "green", "value": None}]
    custom: Manifest = {}
    if line is not None:
        steps.append({"color": "red", "value": line})
        custom["thresholdsStyle"] = {"mode": "line"}
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": custom,
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend, "format": form}
            for place, (expression, legend) in enumerate(queries.items())
        ],
    }
