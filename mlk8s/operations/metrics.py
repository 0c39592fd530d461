"""A metric of one's own, served by the platform's adapter so that autoscalers can follow it."""

from __future__ import annotations

import time
from collections.abc import Callable

import yaml

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import NAMESPACE
from mlk8s.errors import Forbidden, NotFound
from mlk8s.render.common import Manifest, digest
from mlk8s.render.metrics import USER_RULES, adapter_rule, with_rules
from mlk8s.spec.metric import Metric

Say = Callable[[str], None]
_ADAPTER = "prometheus-adapter"
_PART_OF = "app.kubernetes.io/part-of"


def install_metric(cluster: Cluster, metric: Metric, *, say: Say = print) -> bool:
    """Let the platform's prometheus-adapter serve a metric; the rule outlives `mlk8s up`.

    The adapter reads its rules once, so a new one starts a new pod of it; the old one serves meanwhile.

    Returns:
        Whether anything was written; False where this very rule is there.

    Raises:
        NotFound: the adapter is not the platform's; the error has the rule, to be put into its configuration.
        Forbidden: we may not write in the platform's namespace.
    """
    try:
        config = cluster.find("ConfigMap", _ADAPTER, NAMESPACE)
    except Forbidden:
        config = None
    if config is None or (config["metadata"].get("labels") or {}).get(_PART_OF) != "mlk8s":
        rule = yaml.safe_dump([adapter_rule(metric)], sort_keys=False)
        section = "externalRules" if metric.kind == "external" else "rules"
        raise NotFound(
            f"the platform's adapter, which would serve {metric.name}, is not here or not ours to change",
            where=f"ConfigMap {NAMESPACE}/{_ADAPTER}",
            next_step=f"put this into {section} of your prometheus-adapter:\n{rule}",
        )
    found = cluster.find("ConfigMap", USER_RULES, NAMESPACE)
    rules = {**((found or {}).get("data") or {}), metric.name: metric.model_dump_json()}
    data = {"config.yaml": with_rules(config["data"]["config.yaml"], rules)}
    labels = {_PART_OF: "mlk8s"}
    kept = _config_map(USER_RULES, rules, labels)
    if found is not None and found.get("data") == rules and data == config["data"]:
        return False
    cluster.apply(kept)
    cluster.apply(_config_map(_ADAPTER, data, config["metadata"]["labels"]), force=True)
    noted = {"mlk8s.dev/config": digest(data, 12)}
    cluster.patch(
        "Deployment", _ADAPTER, {"spec": {"template": {"metadata": {"annotations": noted}}}}, NAMESPACE
    )
    say(f"{metric.name}: the adapter gets its rule")
    return True


def wait_metric(cluster: Cluster, metric: Metric, *, timeout: float = 60.0) -> None:
    """Wait until the metrics API lists a metric, which it does as soon as Prometheus has one value of it.

    Raises:
        NotFound: it does not within `timeout` seconds.
    """
    group = (
        "external.metrics.k8s.io/v1beta1" if metric.kind == "external" else "custom.metrics.k8s.io/v1beta2"
    )
    end = time.monotonic() + timeout
    while f'/{metric.name}"' not in (text := _listed(cluster, group)) and f'"{metric.name}"' not in text:
        if time.monotonic() > end:
            raise NotFound(
                f"{metric.name} is not served after {timeout:g} s",
                where=f"/apis/{group}",
                expected=f"a value of the series {metric.series} in Prometheus",
                next_step=f"see that a pod that is scraped exposes {metric.series}",
            )
        time.sleep(0.5)


def _listed(cluster: Cluster, group: str) -> str:
    try:
        return cluster.raw("GET", f"/apis/{group}").decode()
    except NotFound:
        return ""


def _config_map(name: str, data: dict[str, str], labels: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
