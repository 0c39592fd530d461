from __future__ import annotations

from typing import Any

from mlk8s.assess.sample import deployment_facts, hpa_facts, pod_facts


def test_a_deployment_without_status_has_no_replicas() -> None:
    facts = deployment_facts({"metadata": {"name": "iris"}, "spec": {}, "status": {}})
    assert facts == {
        "name": "iris", "desired": 1, "current": 0, "ready": 0, "updated": 0, "available": 0,
    }  # fmt: skip


def hpa(metric: dict[str, Any], current: list[dict[str, Any]] | None) -> dict[str, Any]:
    status = {"desiredReplicas": 3, "currentReplicas": 2, "currentMetrics": current}
    return {"spec": {"maxReplicas": 4, "metrics": [metric]}, "status": status}


def test_a_pods_metric_in_milli_units() -> None:
    wanted = {
        "metric": {"name": "requests_in_flight"},
        "target": {"type": "AverageValue", "averageValue": "2"},
    }
    found = {"metric": {"name": "requests_in_flight"}, "current": {"averageValue": "4333m"}}
    facts = hpa_facts(hpa({"type": "Pods", "pods": wanted}, [{"type": "Pods", "pods": found}]))
    assert (facts["name"], facts["metric"], facts["target"]) == ("requests_in_flight", 4.333, 2.0)
    assert (facts["desired"], facts["current"], facts["min"], facts["max"]) == (3, 2, 1, 4)


def test_a_resource_metric_in_percent() -> None:
    wanted = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    found = {"name": "cpu", "current": {"averageUtilization": 85, "averageValue": "212m"}}
    facts = hpa_facts(
        hpa({"type": "Resource", "resource": wanted}, [{"type": "Resource", "resource": found}])
    )
    assert (facts["name"], facts["metric"], facts["target"]) == ("cpu", 85.0, 60.0)


def test_an_autoscaler_that_has_no_metric_yet() -> None:
    wanted = {"metric": {"name": "requests_in_flight"}, "target": {"averageValue": "2"}}
    # the API server writes an empty metric while the HPA has none
    for current in (None, [], [{"type": ""}]):
        facts = hpa_facts(hpa({"type": "Pods", "pods": wanted}, current))
        assert (facts["metric"], facts["target"]) == (None, 2.0)


def test_pods_are_in_the_order_of_their_making() -> None:
    young = {"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:09Z"}}
    old = {
        "metadata": {
            "name": "b",
            "creationTimestamp": "2026-01-01T00:00:01Z",
            "labels": {"mlk8s.dev/track": "stable"},
        },
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"},
                {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:03Z"},
            ],
            "containerStatuses": [
                {"restartCount": 2, "state": {"running": {"startedAt": "2026-01-01T00:00:04Z"}}}
            ],
        },
    }
    facts = pod_facts([young, old])
    assert [pod["name"] for pod in facts] == ["b", "a"]
    assert facts[0]["scheduled"] == "2026-01-01T00:00:02Z"
    assert facts[0]["ready"] is None
    assert facts[0]["deleted"] is None and facts[0]["grace"] is None
    assert (facts[0]["started"], facts[0]["restarts"], facts[0]["track"]) == (
        "2026-01-01T00:00:04Z",
        2,
        "stable",
    )
