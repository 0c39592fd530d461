"""Rules of a service: promtool accepts them and sees them fire; the cluster's Prometheus computes them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_tools import wait_for
from onnx_models import ROW, scaling

import mlk8s
from mlk8s.clients.prometheus import Prometheus
from mlk8s.local import parts
from mlk8s.local.progress import SILENT
from mlk8s.operations import alerts as operation
from mlk8s.operations.connection import Kubernetes
from mlk8s.render.alerts import error_ratio, prometheus_rule, rule_file
from mlk8s.render.bundle import to_text
from mlk8s.render.dashboard import dashboard
from mlk8s.spec.resources import Resources
from mlk8s.storage.models import upload_model

IRIS = mlk8s.Alerts(
    service="iris", slo=mlk8s.Slo(p99="120ms", errors=0.01), max_in_flight=100, max_replicas=3
)
WHERE = 'namespace="models",service="iris"'
INFER = f'{{{WHERE},route="/v2/models/{{model}}/infer"'


@pytest.fixture(scope="module")
def promtool() -> Path:
    return parts.ensure(["promtool"], progress=SILENT)["promtool"]


def _run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_checks_the_rules(promtool: Path, tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(to_text(rule_file(IRIS, "models")))
    rules = sum(len(group["rules"]) for group in rule_file(IRIS, "models")["groups"])
    assert f"SUCCESS: {rules} rules found" in _run(promtool, "check", "rules", path)
    path.write_text(to_text(prometheus_rule(IRIS, "models")["spec"]))
    _run(promtool, "check", "rules", path)


def test_every_panel_of_the_dashboard_asks_what_promtool_can_parse(promtool: Path, tmp_path: Path) -> None:
    rules = [
        {"record": "panel:query", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for panel in dashboard(IRIS, "models")["panels"]
        for target in panel["targets"]
    ]
    for place, rule in enumerate(rules):  # promtool warns of two rules that record the same
        rule["record"] += str(place)
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in _run(promtool, "check", "rules", path)


def _series(code: str, bucket: str | None, per_minute: float) -> dict[str, str]:
    le = f',le="{bucket}"' if bucket else ""
    kind = "bucket" if bucket else "count"
    name = f'http_server_request_duration_seconds_{kind}{INFER},code="{code}"{le}}}'
    return {"series": name, "values": f"0+{per_minute:g}x180"}


@pytest.mark.parametrize(
    ("failed", "slow", "expected"),
    [
        (0.0, 0.0, set()),
        (0.005, 0.005, set()),  # half of either budget's pace
        (0.2, 0.0, {("ModelErrorBudgetBurn", window) for window in ("1h", "6h", "1d")}),
        (0.0, 0.2, {("ModelLatencyBudgetBurn", window) for window in ("1h", "6h", "1d")}),
        (0.08, 0.0, {("ModelErrorBudgetBurn", window) for window in ("6h", "1d")}),  # 8 times the pace
        (0.02, 0.0, set()),  # twice the pace: a ticket, but only after three hours
    ],
)
def test_promtool_sees_the_budgets_burn(
    promtool: Path, tmp_path: Path, failed: float, slow: float, expected: set[tuple[str, str]]
) -> None:
    requests = 6000.0
    series = [
        _series("200", None, requests * (1 - failed)),
        _series("503", None, requests * failed),
        # 0.12 s is no bound of the histogram: the stricter neighbour 0.1 s counts
        _series("200", "0.1", requests * (1 - failed - slow)),
        _series("503", "0.1", requests * failed),
        {"series": f'up{{{WHERE},pod="a"}}', "values": "1x180"},
        {"series": f'requests_in_flight_seconds_total{{{WHERE},pod="a"}}', "values": "0+60x180"},
    ]
    assert _firing(promtool, tmp_path, series) == expected


def test_promtool_sees_full_pods_the_maximum_and_no_pods(promtool: Path, tmp_path: Path) -> None:
    full = [{"series": f'up{{{WHERE},pod="{pod}"}}', "values": "1x180"} for pod in "abc"] + [
        {"series": f'requests_in_flight_seconds_total{{{WHERE},pod="{pod}"}}', "values": "0+5400x180"}
        for pod in "abc"
    ]  # 90 in flight a pod, of 100
    assert _firing(promtool, tmp_path, full) == {("ModelSaturated", ""), ("ModelReplicasAtMaximum", "")}
    # An idle colour's pods neither thin the mean of those that are full, nor count as the autoscaler's.
    colours = [
        {"series": f'{series}{{{WHERE},track="{track}",pod="{track}-{pod}"}}', "values": values}
        for track, busy in (("stable", 5400), ("green", 0))
        for pod in "ab"
        for series, values in (("up", "1x180"), ("requests_in_flight_seconds_total", f"0+{busy}x180"))
    ]
    assert _firing(promtool, tmp_path, colours) == {("ModelSaturated", "")}
    gone = [{"series": f'up{{{WHERE},pod="a"}}', "values": "0x180"}]
    assert _firing(promtool, tmp_path, gone) == {("ModelDown", "")}
    assert _firing(promtool, tmp_path, []) == {("ModelDown", "")}


def _firing(promtool: Path, folder: Path, series: list[dict[str, str]]) -> set[tuple[str, str]]:
    """Return the (alert, window) that fire after two hours, as promtool computes them."""
    (folder / "rules.yml").write_text(to_text(rule_file(IRIS, "models")))
    at = {"expr": 'count by (alertname, window) (ALERTS{alertstate="firing"})', "eval_time": "2h"}
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [at | {"exp_samples": []}]}],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool, "test", "rules", "--diff", folder / "test.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return set()
    # promtool shows what it got where nothing was expected
    found = set(re.findall(r'alertname="(\w+)"(?:, window="(\w+)")?\} 1E\+00', done.stdout + done.stderr))
    assert found, done.stdout + done.stderr
    return found


@pytest.fixture(scope="module")
def k8s(local_cluster: Any, namespace: str) -> Kubernetes:
    return mlk8s.connect(kubeconfig=local_cluster.kubeconfig, namespace=namespace)


@pytest.fixture(scope="module")
def watched(k8s: Kubernetes) -> Iterator[str]:
    """A deployed service with its rules in the cluster's Prometheus; gone from there afterwards."""
    url = "s3://models/watched/1"
    upload_model(scaling(2.0), url, config=k8s.storage(), exist_ok=True)
    k8s.deploy(
        mlk8s.ModelService(
            name="watched", model=url, replicas=1, resources=Resources(cpu="100m", memory="256Mi")
        )
    )
    spec = operation.alerts_of(k8s.cluster, "watched", k8s.namespace, mlk8s.Slo(p99="100ms", errors=0.01))
    operation.install(k8s.cluster, k8s.platform, spec)
    yield "watched"
    operation.remove(k8s.cluster, k8s.platform, "watched", k8s.namespace)


def test_the_clusters_prometheus_computes_the_rules(k8s: Kubernetes, watched: str) -> None:
    assert k8s.platform.prometheus is not None
    prometheus = Prometheus(k8s.cluster, k8s.platform.prometheus)
    where = f'{{namespace="{k8s.namespace}",service="{watched}"}}'

    def values(series: str) -> list[float]:
        return [sample.value for sample in prometheus.query(f"{series}{where}")]

    def no_errors() -> bool:
        k8s.service(watched).predict([ROW])  # a rate needs a counter that rises between scrapes
        return values(error_ratio("5m")) == [0.0]

    wait_for(no_errors)  # some evaluations of 15 s
    wait_for(lambda: values("service:pods:up") == [1.0])
    groups = prometheus.rules()
    alerts = {rule["name"]: rule["health"] for rule in groups[f"{k8s.namespace}/{watched}:alerts"]}
    assert set(alerts) == {"ModelErrorBudgetBurn", "ModelLatencyBudgetBurn", "ModelSaturated", "ModelDown"}
    assert set(alerts.values()) <= {"ok", "unknown"}


def test_the_rules_go_with_the_service_and_those_of_others_stay(k8s: Kubernetes, watched: str) -> None:
    assert k8s.platform.prometheus is not None
    home = k8s.platform.prometheus.partition("/")[0]
    other = mlk8s.Alerts(service="other", slo=mlk8s.Slo(errors=0.01), max_in_flight=1)
    operation.install(k8s.cluster, k8s.platform, other)
    try:
        said: list[str] = []
        k8s.service(watched).delete(say=said.append)
        assert said[0] == f"{watched}: its rules are taken from Prometheus"
        keys = set(k8s.cluster.get("ConfigMap", operation.CONFIG_MAP, home)["data"])
        ours = {key for key in keys if key.startswith(f"{k8s.namespace}.")}
        assert ours == {f"{k8s.namespace}.other.yml"}
        prometheus = Prometheus(k8s.cluster, k8s.platform.prometheus)
        wait_for(lambda: f"{k8s.namespace}/{watched}:alerts" not in prometheus.rules())
        assert f"{k8s.namespace}/other:alerts" in prometheus.rules()
    finally:
        assert operation.remove(k8s.cluster, k8s.platform, "other", k8s.namespace)
    assert not operation.remove(k8s.cluster, k8s.platform, "other", k8s.namespace)
