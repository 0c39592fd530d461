"""Give Prometheus the rules of a model service, and take them away."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import ClusterError, NotFound, WaitTimeout
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.bluegreen_state import live_deployment
from mlk8s.render.alerts import prometheus_rule, rule_file
from mlk8s.render.bundle import to_text
from mlk8s.render.common import MANAGED_BY, MANAGER
from mlk8s.render.stored import stored_spec
from mlk8s.spec.alerts import Alerts
from mlk8s.spec.load import Slo

Say = Callable[[str], None]

CONFIG_MAP = "prometheus-rules"
"""In Prometheus' namespace: one key a service, `NAMESPACE.SERVICE.yml`; manifests/platform mounts it."""
_OPERATOR = "monitoring.coreos.com/v1/PrometheusRule"
_NUDGE = "mlk8s.dev/rules-changed"


def alerts_of(cluster: Cluster, name: str, namespace: str, slo: Slo) -> Alerts:
    """Return the alerts that fit a deployed service: its promise, its pods' limit, its autoscaler's maximum.

    Raises:
        NotFound: there is no such service, or mlk8s did not deploy it.
    """
    spec = stored_spec(live_deployment(cluster, name, namespace))
    if spec is None:
        raise NotFound(
            f"Deployment {name!r} was not deployed by mlk8s",
            where=f"namespace {namespace!r}",
            next_step="give the limits yourself: mlk8s.Alerts(service=..., slo=..., max_in_flight=...)",
        )
    most = spec.autoscale.max if spec.autoscale is not None else None
    return Alerts(
        service=name, namespace=namespace, slo=slo, max_in_flight=spec.max_in_flight, max_replicas=most
    )


def install(
    cluster: Cluster, platform: Platform, spec: Alerts, *, timeout: float = 60.0, say: Say = print
) -> None:
    """Give the rules to the cluster's Prometheus and wait until it has loaded them.

    Where the Prometheus operator is installed they become a PrometheusRule, which the operator's own selector
    may still leave out; else a file of the platform's Prometheus.

    Raises:
        NotFound: the cluster has neither.
        Conflict: a PrometheusRule of somebody else has the name.
        WaitTimeout: Prometheus has not loaded the rules in time.
    """
    namespace = spec.namespace or cluster.namespace
    if _has_operator(cluster):
        rule = prometheus_rule(spec, namespace)
        refuse_foreign(cluster, [rule])
        apply_all(cluster, [rule], say=say)
        say(f"{spec.service}: PrometheusRule {namespace}/{spec.service} applied")
        return
    prometheus, home = _own(cluster, platform)
    wanted = rule_file(spec, namespace)
    _write(cluster, home, _key(spec.service, namespace), to_text(wanted))
    groups = {group["name"]: len(group["rules"]) for group in wanted["groups"]}
    _wait(
        lambda: {name: len(rules) for name, rules in prometheus.rules().items()}, groups, timeout, prometheus
    )
    say(f"{spec.service}: {sum(groups.values())} rules loaded by {prometheus.place}")


def remove(cluster: Cluster, platform: Platform, service: str, namespace: str, *, say: Say = print) -> bool:
    """Take the rules of a service away; returns whether there were any.

    A PrometheusRule of that name that is somebody else's stays.

    Raises:
        Forbidden: we may not write where Prometheus' rules are.
    """
    if _has_operator(cluster):
        rule = cluster.find(_OPERATOR, service, namespace)
        if rule is None or (rule["metadata"].get("labels") or {}).get(MANAGED_BY) != MANAGER:
            return False
        return cluster.delete(_OPERATOR, service, namespace)
    if platform.prometheus is None:
        return False
    home = platform.prometheus.partition("/")[0]
    found = cluster.find("ConfigMap", CONFIG_MAP, home)
    key = _key(service, namespace)
    if found is None or key not in (found.get("data") or {}):
        return False
    _write(cluster, home, key, None)
    say(f"{service}: its rules are taken from Prometheus")
    return True


def _key(service: str, namespace: str) -> str:
    return f"{namespace}.{service}.yml"


def _own(cluster: Cluster, platform: Platform) -> tuple[Prometheus, str]:
    if not platform.installed or platform.prometheus is None:
        raise NotFound(
            "the cluster has neither the Prometheus operator nor mlk8s's Prometheus",
            where=f"context {cluster.context!r}",
            expected="monitoring.coreos.com/v1 or ConfigMap mlk8s-system/mlk8s-platform",
            next_step="print the rules and give them to your Prometheus: mlk8s alerts SERVICE --show",
        )
    return Prometheus(cluster, platform.prometheus), platform.prometheus.partition("/")[0]


def _has_operator(cluster: Cluster) -> bool:
    try:
        cluster.list(_OPERATOR, all_namespaces=True)
    except NotFound:
        return False
    return True


def _write(cluster: Cluster, home: str, key: str, text: str | None) -> None:
    """Change one key; the others belong to other services. Then have the kubelet bring it to the pod now."""
    if cluster.find("ConfigMap", CONFIG_MAP, home) is None:
        cluster.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP, "namespace": home}}
        )
    cluster.patch("ConfigMap", CONFIG_MAP, {"data": {key: text}}, home)
    for pod in cluster.list("Pod", home, labels="app.kubernetes.io/name=prometheus"):
        # The kubelet looks at a pod's ConfigMaps once a minute, and whenever the pod itself changes.
        change = {"metadata": {"annotations": {_NUDGE: str(time.time_ns())}}}
        cluster.patch("Pod", pod["metadata"]["name"], change, home)


def _wait(
    loaded: Callable[[], dict[str, int]], groups: dict[str, int], timeout: float, prometheus: Prometheus
) -> None:
    deadline, words = time.monotonic() + timeout, "it has not read them yet"
    while time.monotonic() < deadline:
        try:
            if groups.items() <= loaded().items():
                return
        except ClusterError as error:
            words = str(error)
        time.sleep(0.5)
    raise WaitTimeout(
        f"Prometheus has not loaded the rules after {timeout:g} s: {words}",
        where=prometheus.place,
        next_step="its log names a rule that it refuses: kubectl logs -n mlk8s-system deployment/prometheus",
    )
