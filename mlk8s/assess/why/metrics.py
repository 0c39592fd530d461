"""Where the way of a pods metric is broken: scrape → series → adapter's rule → metrics API → HPA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

import yaml

from mlk8s.assess.cause import Cause
from mlk8s.assess.doctor_facts import Unknown
from mlk8s.assess.observed import Object, condition, place
from mlk8s.assess.why.facts import Facts

GROUPS = {
    "Resource": "metrics.k8s.io",
    "ContainerResource": "metrics.k8s.io",
    "Pods": "custom.metrics.k8s.io",
    "Object": "custom.metrics.k8s.io",
    "External": "external.metrics.k8s.io",
}
"""Which API an HPA asks for each type of metric."""


def api_cause(group: str, metric: str, item: Object, facts: Facts, *, asker: str = "the HPA") -> Cause | None:
    """Return why a metrics API does not answer; None where it is available."""
    services = [a for a in facts.of("APIService") if a["spec"].get("group") == group]
    if not services:
        if facts.unseen("APIService"):
            return None
        brings = {
            "metrics.k8s.io": "metrics-server, or prometheus-adapter with resourceRules",
            "custom.metrics.k8s.io": "prometheus-adapter or KEDA",
        }.get(group, "KEDA, or prometheus-adapter with externalRules")
        return Cause(
            "hpa-api-missing",
            f"the API {group}, which {asker} asks for {metric}, is not registered in this cluster",
            place(item),
            f"install {brings}",
            evidence=(f"kubectl get apiservices: none of group {group}",),
        )
    if any(condition(a, "Available").get("status") == "True" for a in services):
        return None
    one = services[0]
    state, service = condition(one, "Available"), one["spec"].get("service") or {}
    where = f"{service.get('namespace')}/{service.get('name')}"
    return Cause(
        "hpa-api-down",
        f"the API {group}, which {asker} asks for {metric}, is not available: {state.get('message', '')}",
        place(item),
        f"see its pods: `mlk8s why service/{service.get('name')} -n {service.get('namespace')}`",
        evidence=(f"APIService {one['metadata']['name']} → {where}: {state.get('reason')}",),
    )


def pods_metric(metric: str, pods: Sequence[Object], item: Object, facts: Facts) -> Cause | None:
    """Walk the way of a pods metric from its end to its source, and name the link that is broken.

    None where every link holds: the HPA has only not looked yet.
    """
    down = api_cause("custom.metrics.k8s.io", metric, item, facts)
    if down is not None:
        return down
    path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{facts.namespace}/pods/*/{metric}"
    names = {str(pod["metadata"]["name"]) for pod in pods}
    answered = [
        value
        for answer in facts.of(f"get:{path}")
        for value in answer.get("items") or ()
        if value.get("describedObject", {}).get("name") in names
    ]
    if answered:
        return None
    unruled = no_rule(metric, item, facts)
    if unruled is not None:
        return unruled
    series = series_of(metric, facts)
    if not facts.prometheus:
        return None
    return _source(metric, series, names, item, facts)


def keda_serves(metric: str, item: Object, facts: Facts) -> Cause | None:
    """Return that KEDA serves the external metrics, which knows only those of its own ScaledObjects."""
    for api in facts.of("APIService"):
        server = (api["spec"].get("service") or {}).get("name", "")
        if api["spec"].get("group") == GROUPS["External"] and "keda" in server:
            return Cause(
                "hpa-keda-serves",
                "KEDA serves this cluster's external metrics, only those of its own ScaledObjects, and "
                f"{metric} is none of them",
                place(item),
                "let KEDA scale by it: a ScaledObject with the query, or Autoscale(scaler='keda')",
                evidence=(f"APIService {api['metadata']['name']} → {server}",),
            )
    return None


def no_rule(metric: str, item: Object, facts: Facts) -> Cause | None:
    """Return that the adapter makes no such metric; None where it does, or where its rules are not known."""
    if series_of(metric, facts) != ():
        return None
    return Cause(
        "hpa-no-rule",
        f"the metrics adapter has no rule that makes {metric}{_near(metric, facts)}",
        place(item),
        f"add a rule for {metric} to the adapter's ConfigMap, or scale on a metric that it has",
        evidence=tuple(f"adapter's rule: {name}" for name in sorted(_rules(facts))),
    )


def series_of(metric: str, facts: Facts) -> tuple[str, ...] | None:
    """Return the series that the adapter makes a metric of; () for no rule, None where none are known."""
    rules = _rules(facts)
    return tuple(rules.get(metric, ())) if rules else None


def _rules(facts: Facts) -> dict[str, list[str]]:
    """Return metric → series, from the configuration of the adapter that serves the API."""
    groups = ("custom.metrics.k8s.io", "external.metrics.k8s.io")
    services = [a for a in facts.of("APIService") if a["spec"].get("group") in groups]
    places = {a["spec"]["service"]["namespace"] for a in services if a["spec"].get("service")}
    found: dict[str, list[str]] = {}
    for namespace in sorted(places):
        for config in facts.of(f"{namespace}/ConfigMap"):
            for text in (config.get("data") or {}).values():
                if "seriesQuery" in text:
                    for rule in _parsed(text):
                        for series, name in _names(rule):
                            found.setdefault(name, []).append(series)
    return found


def _parsed(text: str) -> list[Object]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    if not isinstance(config, dict):
        return []
    rules = [*(config.get("rules") or ()), *(config.get("externalRules") or ())]
    return [rule for rule in rules if isinstance(rule, dict)]


def _names(rule: Object) -> list[tuple[str, str]]:
    series = str(rule.get("seriesQuery", "")).partition("{")[0]
    name = rule.get("name") or {}
    shown = str(name.get("as") or "")
    if not series:  # a rule that picks its series by a pattern of their names
        return [(str(rule.get("seriesQuery")), shown)] if shown and "$" not in shown else []
    if shown and "$" not in shown:
        return [(series, shown)]
    pattern = str(name.get("matches") or ("^(.*)_total$" if series.endswith("_total") else "^(.*)$"))
    found = re.search(pattern, series)
    if found is None:
        return []
    # Go writes "$1" and "${1}", Python "\\g<1>"
    template = re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", shown or ("$1" if found.groups() else "$0"))
    return [(series, found.expand(template))]


def _source(
    metric: str, series: Sequence[str] | None, names: set[str], item: Object, facts: Facts
) -> Cause | None:
    among = "|".join(sorted(name.replace(".", "[.]") for name in names))  # PromQL knows no "\\-"
    scope = f'namespace="{facts.namespace}",pod=~"{among}"'
    up = [(s["labels"], s["value"]) for s in facts.of(f"promql:up{{{scope}}}")]
    if isinstance(facts.found[f"promql:up{{{scope}}}"], Unknown):
        return None
    if not up:
        return _unscraped(metric, names, item, facts)
    dead = sorted({str(labels.get("pod")) for labels, value in up if value == 0})
    if dead and all(value == 0 for _, value in up):
        address = up[0][0].get("instance", "")
        return Cause(
            "hpa-target-down",
            f"Prometheus cannot scrape pod {dead[0]} at {address}, so there is no {metric}",
            place(item),
            "correct the pods' annotations prometheus.io/port and prometheus.io/path, and let their "
            "NetworkPolicy admit Prometheus",
            evidence=tuple(f"up{{pod={pod}}} = 0" for pod in dead),
        )
    for name in series or ():
        if facts.of(f"promql:count({name}{{{scope}}})"):
            return None
    wanted = " or ".join(series) if series else metric
    return Cause(
        "hpa-no-series",
        f"Prometheus scrapes the pods, and they expose no series {wanted}, which {metric} is made of",
        place(item),
        f"let the server count {wanted}, or scale on a metric that it has",
        evidence=tuple(f"up{{pod={labels.get('pod')}}} = {value:g}" for labels, value in up),
    )


def _unscraped(metric: str, names: set[str], item: Object, facts: Facts) -> Cause:
    pods = [pod for pod in facts.of("Pod") if pod["metadata"]["name"] in names]
    annotations = pods[0]["metadata"].get("annotations") or {} if pods else {}
    said = annotations.get("prometheus.io/scrape")
    return Cause(
        "hpa-no-scrape",
        f"Prometheus does not scrape the pods, so there is no {metric}: their annotation "
        "prometheus.io/scrape is " + (f"{said!r}" if said else "not there"),
        place(item),
        'annotate the pod template with prometheus.io/scrape: "true" and prometheus.io/port (a PodMonitor '
        "where the Prometheus operator runs)",
        evidence=("no series up{} of these pods", f"annotations: {dict(annotations)}"),
    )


def _near(metric: str, facts: Facts) -> str:
    rules = sorted(_rules(facts))
    close = get_close_matches(metric, rules, n=1, cutoff=0.6)
    if close:
        return f"; it makes {close[0]}"
    return f"; it makes {', '.join(rules)}" if rules else ""
