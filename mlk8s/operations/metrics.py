"""Metrics of one's own, served by the platform's adapter so that autoscalers can follow them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

import yaml

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import NAMESPACE
from mlk8s.errors import Forbidden, NotFound, UsageError, WaitTimeout
from mlk8s.operations.scalers import require_external_metrics
from mlk8s.render.common import Manifest, digest
from mlk8s.render.metrics import USER_RULES, adapter_rule, with_rules, without_rule
from mlk8s.spec.metric import BUILT_IN, Metric

Say = Callable[[str], None]
_ADAPTER = "prometheus-adapter"
_PART_OF = "app.kubernetes.io/part-of"


def install_metric(cluster: Cluster, metric: Metric, *, say: Say = print) -> bool:
    """Let the platform's prometheus-adapter serve a metric; the rule outlives `mlk8s up`.

    The adapter reads its rules once, so a new one starts a new pod of it; the old one serves meanwhile.

    Returns:
        Whether anything was written; False where this very rule is there.

    Raises:
        UsageError: the name is one of the built-in metrics.
        NotFound: the adapter is not the platform's; the error has the rule, to be put into its configuration.
        Conflict: an external metric, where KEDA serves those.
        Forbidden: we may not write in the platform's namespace.
    """
    if metric.name in BUILT_IN:
        raise UsageError(
            f"{metric.name} is a metric that every model service has",
            expected=f"another name than {', '.join(BUILT_IN)}",
        )
    config = _config(cluster)
    if config is None:
        rule = yaml.safe_dump([adapter_rule(metric)], sort_keys=False)
        section = "externalRules" if metric.kind == "external" else "rules"
        raise NotFound(
            f"the platform's adapter, which would serve {metric.name}, is not here or not ours to change",
            where=f"ConfigMap {NAMESPACE}/{_ADAPTER}",
            next_step=f"put this into {section} of your prometheus-adapter:\n{rule}",
        )
    if metric.kind == "external":
        require_external_metrics(cluster)
    declared = _declared(cluster)
    rules = declared | {metric.name: metric.model_dump_json()}
    before = config["data"]["config.yaml"]
    old = _parsed(declared).get(metric.name)
    text = with_rules(without_rule(before, old) if old is not None else before, rules)
    if declared == rules and text == before:
        return False
    _write(cluster, config, rules, text)
    say(f"{metric.name}: the adapter gets its rule")
    return True


def metrics(cluster: Cluster) -> list[Metric]:
    """Return the metrics of one's own that are declared in a cluster, by name.

    Raises:
        Forbidden: we may not read in the platform's namespace.
    """
    return [metric for _, metric in sorted(_parsed(_declared(cluster)).items())]


def remove_metric(cluster: Cluster, name: str, *, say: Say = print) -> Metric:
    """Take a metric's rule from the platform's adapter; return what was declared.

    An autoscaler that follows it keeps its replicas and shows `<unknown>`; `say` names it.

    Raises:
        NotFound: no such metric is declared; names those that are.
        Forbidden: we may not write in the platform's namespace.
    """
    declared = _declared(cluster)
    config = _config(cluster)
    if name not in declared or config is None:
        raise NotFound(
            f"no metric {name!r} is declared",
            where=f"ConfigMap {NAMESPACE}/{USER_RULES}",
            expected=f"one of: {', '.join(sorted(declared))}" if declared else "a metric; there is none",
        )
    metric = _parsed(declared)[name]
    rules = {key: text for key, text in declared.items() if key != name}
    _write(cluster, config, rules, without_rule(config["data"]["config.yaml"], metric))
    say(f"{name}: its rule is taken from the adapter")
    for follower in _followers(cluster, name):
        say(f"note: {follower} follows it and stays at the replicas it has")
    return metric


def wait_metric(cluster: Cluster, metric: Metric, *, timeout: float = 60.0) -> None:
    """Wait until the metrics API lists a metric, which it does as soon as Prometheus has one value of it.

    Raises:
        NotFound: it does not within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while not _is_listed(cluster, metric):
        if time.monotonic() > end:
            raise NotFound(
                f"{metric.name} is not served after {timeout:g} s",
                where=f"/apis/{_group(metric)}",
                expected=f"a value of the series {metric.series} in Prometheus",
                next_step=f"see that a pod that is scraped exposes {metric.series}",
            )
        time.sleep(0.5)


def wait_gone(cluster: Cluster, metric: Metric, *, timeout: float = 60.0) -> None:
    """Wait until the metrics API has forgotten a metric.

    Raises:
        WaitTimeout: it has not within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while _is_listed(cluster, metric):
        if time.monotonic() > end:
            raise WaitTimeout(
                f"{metric.name} is still served after {timeout:g} s",
                where=f"/apis/{_group(metric)}",
                next_step=f"`mlk8s why deployment/{_ADAPTER} -n {NAMESPACE}`",
            )
        time.sleep(0.5)


def _config(cluster: Cluster) -> Manifest | None:
    """Return the configuration of the platform's adapter; None where the adapter is somebody else's."""
    try:
        found = cluster.find("ConfigMap", _ADAPTER, NAMESPACE)
    except Forbidden:
        return None
    ours = found is not None and (found["metadata"].get("labels") or {}).get(_PART_OF) == "mlk8s"
    return found if ours else None


def _declared(cluster: Cluster) -> dict[str, str]:
    found = cluster.find("ConfigMap", USER_RULES, NAMESPACE)
    return dict((found or {}).get("data") or {})


def _parsed(declared: Mapping[str, str]) -> dict[str, Metric]:
    return {name: Metric(**json.loads(text)) for name, text in declared.items()}


def _write(cluster: Cluster, config: Manifest, rules: Mapping[str, str], text: str) -> None:
    """Keep what is declared for the next `mlk8s up`, and start an adapter with the new configuration."""
    data = {"config.yaml": text}
    cluster.apply(_config_map(USER_RULES, rules, {_PART_OF: "mlk8s"}))
    cluster.apply(_config_map(_ADAPTER, data, config["metadata"]["labels"]), force=True)
    noted = {"mlk8s.dev/config": digest(data, 12)}
    cluster.patch(
        "Deployment", _ADAPTER, {"spec": {"template": {"metadata": {"annotations": noted}}}}, NAMESPACE
    )


def _followers(cluster: Cluster, name: str) -> list[str]:
    """Return the autoscalers that follow a metric, as far as we may see them."""
    try:
        found = cluster.list("HorizontalPodAutoscaler", all_namespaces=True)
    except Forbidden:
        return []
    return [
        f"HorizontalPodAutoscaler {item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in found
        if any(
            ((entry.get(str(entry["type"]).lower()) or {}).get("metric") or {}).get("name") == name
            for entry in item["spec"].get("metrics") or ()
        )
    ]


def _group(metric: Metric) -> str:
    return "external.metrics.k8s.io/v1beta1" if metric.kind == "external" else "custom.metrics.k8s.io/v1beta2"


def _is_listed(cluster: Cluster, metric: Metric) -> bool:
    try:
        text = cluster.raw("GET", f"/apis/{_group(metric)}").decode()
    except NotFound:
        return False
    return f'/{metric.name}"' in text or f'"{metric.name}"' in text


def _config_map(name: str, data: Mapping[str, str], labels: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
