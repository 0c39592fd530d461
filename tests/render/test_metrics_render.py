"""One declaration of a metric, in the words of the adapter, the HPA, KEDA and the Prometheus operator."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mlk8s.errors import UsageError
from mlk8s.local.platform_manifests import load
from mlk8s.render.common import Identity, Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.metrics import adapter_rule, hpa_metric, query, with_rules, without_rule
from mlk8s.render.monitors import pod_monitor, service_monitor
from mlk8s.render.service import render_service
from mlk8s.spec.autoscale import Autoscale, Behavior, Policy
from mlk8s.spec.metric import BUILT_IN, Follow, Metric
from mlk8s.spec.service import ModelService
from mlk8s.spec.vertical import Vertical

IRIS = Identity("iris")
FACTS = RenderFacts(
    namespace="team", storage_endpoint="http://s.x.svc:8333", server_image="server:1", prometheus_url="http://p:9090"
)  # fmt: skip
QUEUE = Metric(name="queue", kind="external", series="jobs", labels={"queue": "a"}, aggregate="max")


def rendered(kind: str, **values: Any) -> Manifest:
    spec = ModelService(name="iris", model="s3://models/iris/1", **values)
    (found,) = [item for item in render_service(spec, FACTS) if item["kind"] == kind]
    return found


def test_the_platforms_rules_are_those_of_the_built_in_metrics() -> None:
    (config,) = [item for item in load("prometheus-adapter") if item["kind"] == "ConfigMap"]
    found = yaml.safe_load(config["data"]["config.yaml"])
    outside = [adapter_rule(item) for item in BUILT_IN.values() if item.kind == "external"]
    inside = [adapter_rule(item) for item in BUILT_IN.values() if item.kind != "external"]
    assert found["externalRules"] == outside
    assert found["rules"] == inside


def test_a_metric_of_ones_own_replaces_itself_only() -> None:
    (config,) = [item for item in load("prometheus-adapter") if item["kind"] == "ConfigMap"]
    text = config["data"]["config.yaml"]
    once = with_rules(text, {"queue": QUEUE.model_dump_json()})
    changed = QUEUE.replace(aggregate="sum")
    twice = yaml.safe_load(with_rules(once, {"queue": changed.model_dump_json()}))
    assert with_rules(text, {}) == text
    assert [rule["name"]["as"] for rule in twice["externalRules"]] == ["ingress_requests_per_second", "queue"]
    assert twice["externalRules"][-1] == adapter_rule(changed)
    assert twice["resourceRules"] == yaml.safe_load(text)["resourceRules"]
    assert yaml.safe_load(without_rule(once, QUEUE)) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("follow", "entry"),
    [
        (
            Follow(metric="cpu", target=70),
            {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
        ),
        (
            Follow(metric="requests_in_flight", target=2.5),
            {
                "metric": {"name": "requests_in_flight"},
                "target": {"type": "AverageValue", "averageValue": "2500m"},
            },
        ),
        (
            Follow(metric="service_requests_per_second", target=9, per="total"),
            {
                "metric": {"name": "service_requests_per_second"},
                "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "iris"},
                "target": {"type": "Value", "value": "9"},
            },
        ),
        (
            Follow(metric=QUEUE, target=3),
            {
                "metric": {"name": "queue", "selector": {"matchLabels": {"queue": "a"}}},
                "target": {"type": "AverageValue", "averageValue": "3"},
            },
        ),
    ],
)
def test_the_hpas_entry(follow: Follow, entry: Manifest) -> None:
    made = hpa_metric(follow, IRIS, "team")
    assert made[made["type"].lower()] == entry


def test_kedas_question_is_the_same_metric_of_the_whole_service() -> None:
    in_flight, queue = Follow(metric="requests_in_flight", target=1), Follow(metric=QUEUE, target=1)
    assert in_flight.declared
    assert query(in_flight, in_flight.declared, IRIS, "team") == (
        'sum(rate(requests_in_flight_seconds_total{namespace="team",service="iris",track="stable"}[10s]))'
    )
    assert query(queue, QUEUE, IRIS, "team") == 'max(jobs{queue="a"})'


def test_zero_pods_are_woken_by_requests_at_the_ingress() -> None:
    found = rendered("ScaledObject", autoscale=Autoscale(min=0, max=3, target=4, scaler="keda", cooldown=60))
    assert (found["spec"]["minReplicaCount"], found["spec"]["cooldownPeriod"]) == (0, 60)
    metric, demand = found["spec"]["triggers"]
    assert (metric["metadata"]["threshold"], demand["metadata"]["threshold"]) == ("4", "1")
    assert 'ingress="team-iris"' in demand["metadata"]["query"]
    always = rendered("ScaledObject", autoscale=Autoscale(min=1, max=3, target=4, scaler="keda"))
    assert len(always["spec"]["triggers"]) == 1


def test_keda_needs_a_prometheus_to_ask() -> None:
    spec = ModelService(
        name="iris",
        model="s3://models/iris/1",
        autoscale=Autoscale(max=3, target=4, scaler="keda"),
        image="server:1",
        storage_endpoint="http://s:1",
    )
    with pytest.raises(UsageError, match="names Prometheus"):
        render_service(spec, RenderFacts(namespace="team"))


def test_behaviour_is_what_was_declared_and_otherwise_the_default() -> None:
    up = Behavior(policies=(Policy(type="Pods", value=1),), select="Min", tolerance=0.05)
    found = rendered("HorizontalPodAutoscaler", autoscale=Autoscale(max=3, target=4, scale_up=up))
    behavior = found["spec"]["behavior"]
    assert behavior["scaleUp"] == {
        "stabilizationWindowSeconds": 0, "selectPolicy": "Min", "tolerance": "50m",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
    }  # fmt: skip
    assert behavior["scaleDown"] == {
        "stabilizationWindowSeconds": 60, "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }  # fmt: skip


def test_a_vertical_autoscaler_looks_after_the_server_only() -> None:
    found = rendered("VerticalPodAutoscaler", vertical=Vertical(mode="Initial", min={"cpu": "50m"}))
    server, others = found["spec"]["resourcePolicy"]["containerPolicies"]
    assert server["containerName"] == "server"
    assert server["minAllowed"] == {"cpu": "50m"}
    assert others == {"containerName": "*", "mode": "Off"}


def test_monitors_select_the_pods_and_give_the_labels_that_queries_use() -> None:
    spec = ModelService(name="iris", model="s3://models/iris/1")
    pods, services = pod_monitor(spec, FACTS), service_monitor(spec, FACTS)
    (endpoint,), (same,) = pods["spec"]["podMetricsEndpoints"], services["spec"]["endpoints"]
    assert {item["targetLabel"] for item in endpoint["relabelings"]} == {"service", "track", "version"}
    assert endpoint == same
    assert pods["spec"]["selector"] == services["spec"]["selector"]
