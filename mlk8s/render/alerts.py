"""Recording and alerting rules of a model service: budgets that burn, pods that are full, pods that are gone.

The budgets follow the multi-window, multi-burn-rate alerts of the SRE Workbook (Google, chapter 5, table
5-8): a budget of 30 days, watched over a long window that says it matters and a short one that says it still
goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mlk8s.render.common import COMPONENT, MANAGED_BY, MANAGER, NAME, Manifest, manifest
from mlk8s.series import IN_FLIGHT_SECONDS, REQUEST_BUCKETS, REQUESTS
from mlk8s.spec.alerts import Alerts

_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_INFER = 'route=~".*/infer"'  # what users ask for; metadata requests would dilute the ratios
_BY = "by (namespace, service)"
_BY_TRACK = "by (namespace, service, track)"


@dataclass(frozen=True)
class _Burn:
    """One row of the workbook's table: `factor` × the budget's pace over both windows."""

    factor: float
    long: str
    short: str
    hold: str
    severity: str


_BURNS = (
    _Burn(14.4, "1h", "5m", "2m", "page"),
    _Burn(6, "6h", "30m", "15m", "page"),
    _Burn(3, "1d", "2h", "1h", "ticket"),
    _Burn(1, "3d", "6h", "3h", "ticket"),
)
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def rule_file(spec: Alerts, namespace: str) -> Manifest:
    """Return the rules as a Prometheus rule file: {"groups": [...]}."""
    source = f"{namespace}/{spec.service}"
    return {
        "groups": [
            {"name": f"{source}:recorded", "interval": "15s", "rules": _recorded(spec, namespace)},
            {"name": f"{source}:alerts", "rules": _alerts(spec, namespace)},
        ]
    }


def prometheus_rule(spec: Alerts, namespace: str) -> Manifest:
    """Return the rules as a PrometheusRule (monitoring.coreos.com/v1) of the Prometheus operator."""
    labels = {NAME: spec.service, COMPONENT: "model-server", MANAGED_BY: MANAGER}
    return manifest(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        spec.service,
        namespace,
        labels,
        spec=rule_file(spec, namespace),
    )


def bucket(bound: float) -> float:
    """Return the largest counted bound in seconds that is not above `bound`: the stricter neighbour."""
    return max(le for le in REQUEST_BUCKETS if le <= bound)


def slow_ratio(name: str, window: str) -> str:
    """Return the recorded series with the share of requests above the bound of percentile `name`."""
    return f"service:requests_above_{name}:ratio_rate{window}"


def error_ratio(window: str) -> str:
    """Return the recorded series with the share of requests answered by 5xx."""
    return f"service:request_errors:ratio_rate{window}"


def _recorded(spec: Alerts, namespace: str) -> list[Manifest]:
    rules: list[Manifest] = []
    counted = f"{REQUESTS}_count{_where(spec, namespace, _INFER)}"
    for window in _WINDOWS:
        requests = f"sum {_BY} (rate({counted}[{window}]))"
        rules.append({"record": f"service:requests:rate{window}", "expr": requests})
        failed = _where(spec, namespace, _INFER, 'code=~"5.."')
        errors = f"sum {_BY} (rate({REQUESTS}_count{failed}[{window}]))"
        # A service that never failed has no such series: 0, not nothing.
        total = f"service:requests:rate{window}{_where(spec, namespace)}"
        share = f"({errors} or 0 * {total})"
        rules.append({"record": error_ratio(window), "expr": f"{share} / {total}"})
        for name, bound in spec.slo.latency.items():
            quick = _where(spec, namespace, _INFER, f'le="{_le(bucket(bound))}"')
            below = f"sum {_BY} (rate({REQUESTS}_bucket{quick}[{window}]))"
            rules.append({"record": slow_ratio(name, window), "expr": f"1 - {below} / {total}"})
    buckets = f"{REQUESTS}_bucket{_where(spec, namespace, _INFER)}"
    for name, share_below in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        counts = f"sum by (namespace, service, le) (rate({buckets}[5m]))"
        rules.append(
            {
                "record": f"service:request_duration_seconds:{name}_5m",
                "expr": f"histogram_quantile({share_below}, {counts})",
            }
        )
    # Of the busiest workload: pods of an idle colour or of a canary would thin the mean.
    in_flight = f"max {_BY} (avg {_BY_TRACK} (rate({IN_FLIGHT_SECONDS}{_where(spec, namespace)}[5m])))"
    rules.append({"record": "service:requests_in_flight:mean5m", "expr": in_flight})
    # `up` has a target for each pod that Prometheus finds, answered or not.
    up = f"sum {_BY} (up{_where(spec, namespace)})"
    rules.append({"record": "service:pods:up", "expr": up})
    # The autoscaler counts one workload's pods, and a canary or another colour may run beside it.
    largest = f"max {_BY} (sum {_BY_TRACK} (up{_where(spec, namespace)}))"
    rules.append({"record": "service:workload_pods:up", "expr": largest})
    return rules


def _alerts(spec: Alerts, namespace: str) -> list[Manifest]:
    service = f"{namespace}/{spec.service}"
    rules: list[Manifest] = []
    if spec.slo.errors is not None:
        rules += [
            _burn("ModelErrorBudgetBurn", burn, error_ratio, spec.slo.errors, spec, namespace, "5xx answers")
            for burn in _BURNS
        ]
    for name, bound in spec.slo.latency.items():
        budget = 1 - _PERCENTILES[name]
        what = f"answers above {bucket(bound):g} s ({name} is promised at {bound:g} s)"
        rules += [
            _burn(
                "ModelLatencyBudgetBurn",
                burn,
                partial(slow_ratio, name),
                budget,
                spec,
                namespace,
                what,
                slo=name,
            )
            for burn in _BURNS
        ]
    full = 0.8 * spec.max_in_flight
    rules.append(
        _alert(
            "ModelSaturated",
            f"service:requests_in_flight:mean5m{_where(spec, namespace)} > {full:g}",
            "5m",
            "page",
            f"{service}: {{{{ $value | humanize }}}} requests in flight a pod; more than "
            f"{spec.max_in_flight} are refused",
            "raise the autoscaler's maximum or lower its target; "
            f"`mlk8s why {spec.service} -n {namespace}` says what holds it back",
        )
    )
    if spec.max_replicas is not None:
        rules.append(
            _alert(
                "ModelReplicasAtMaximum",
                f"service:workload_pods:up{_where(spec, namespace)} >= {spec.max_replicas}",
                "15m",
                "ticket",
                f"{service}: all {spec.max_replicas} pods that the autoscaler may start run for 15 minutes",
                "raise `max` of its Autoscale, or find out why the load is that high",
            )
        )
    rules.append(
        _alert(
            "ModelDown",
            f"service:pods:up{_where(spec, namespace)} == 0 or absent(up{_where(spec, namespace)})",
            "2m",
            "page",
            f"{service}: no pod answers Prometheus",
            f"`mlk8s why {spec.service} -n {namespace}`",
        )
    )
    return rules


def _burn(
    alert: str,
    burn: _Burn,
    ratio: Callable[[str], str],
    budget: float,
    spec: Alerts,
    namespace: str,
    what: str,
    **labels: str,
) -> Manifest:
    where, most = _where(spec, namespace), f"({burn.factor:g} * {budget:.6g})"
    series = [f"{ratio(window)}{where}" for window in (burn.long, burn.short)]
    return _alert(
        alert,
        f"{series[0]} > {most} and {series[1]} > {most}",
        burn.hold,
        burn.severity,
        f"{namespace}/{spec.service}: {{{{ $value | humanizePercentage }}}} {what} over {burn.long}, "
        f"{burn.factor:g} times the pace that the budget of {budget:.4g} lasts 30 days at",
        f"`mlk8s why {spec.service} -n {namespace}`; a canary that runs is the first to suspect",
        window=burn.long,
        **labels,
    )


def _alert(
    name: str, expression: str, hold: str, severity: str, summary: str, next_step: str, **labels: str
) -> Manifest:
    return {
        "alert": name,
        "expr": expression,
        "for": hold,
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary, "next_step": next_step},
    }


def _where(spec: Alerts, namespace: str, *more: str) -> str:
    return "{" + ",".join((f'namespace="{namespace}"', f'service="{spec.service}"', *more)) + "}"


def _le(bound: float) -> str:
    # As the exposition has it: 1 is le="1.0"; both forms are found, Prometheus 3 writes "1.0".
    return f"{bound:.1f}" if bound == int(bound) else f"{bound:g}"
