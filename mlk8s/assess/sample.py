"""What a load test keeps of Kubernetes objects: plain facts of a Deployment, an HPA, pods, their use."""

from __future__ import annotations

from typing import Any

from mlk8s.spec.fields import parse_quantity

Manifest = dict[str, Any]


def deployment_facts(deployment: Manifest) -> dict[str, Any]:
    """Return the name and the replica counts: desired, current, ready, updated, available."""
    status = deployment.get("status") or {}
    return {
        "name": deployment["metadata"]["name"],
        "desired": deployment["spec"].get("replicas", 1),
        "current": status.get("replicas", 0),
        "ready": status.get("readyReplicas", 0),
        "updated": status.get("updatedReplicas", 0),
        "available": status.get("availableReplicas", 0),
    }


def hpa_facts(hpa: Manifest) -> dict[str, Any]:
    """Return desired and current replicas, bounds, conditions, and the first metric with its target.

    `metric` and `target` are means a pod (percent for Utilization); `metric` is None while the HPA has none.
    """
    spec, status = hpa["spec"], hpa.get("status") or {}
    metric = (spec.get("metrics") or [{}])[0]
    current = (status.get("currentMetrics") or [{}])[0] or {}
    kind = str(metric.get("type", ""))
    section = kind[:1].lower() + kind[1:]
    wanted, found = metric.get(section) or {}, current.get(section) or {}
    return {
        "desired": status.get("desiredReplicas") or None,
        "current": status.get("currentReplicas") or None,
        "min": spec.get("minReplicas", 1),
        "max": spec["maxReplicas"],
        "name": (wanted.get("metric") or {}).get("name") or wanted.get("name"),
        "target": _value(wanted.get("target")),
        "metric": _value(found.get("current")),
        "conditions": {
            item["type"]: {key: item.get(key) for key in ("status", "reason", "message")}
            for item in status.get("conditions") or []
        },
    }


def pod_facts(pods: list[Manifest]) -> list[dict[str, Any]]:
    """Return name, version and the times (RFC 3339) at which each pod was scheduled, started and ready."""
    facts = []
    for pod in pods:
        meta, status = pod["metadata"], pod.get("status") or {}
        labels = meta.get("labels") or {}
        since = {
            item["type"]: item.get("lastTransitionTime")
            for item in status.get("conditions") or []
            if item["status"] == "True"
        }
        containers = status.get("containerStatuses") or [{}]
        running = (containers[0].get("state") or {}).get("running") or {}
        facts.append(
            {
                "name": meta["name"],
                "version": labels.get("app.kubernetes.io/version"),
                "track": labels.get("mlk8s.dev/track"),
                "created": meta.get("creationTimestamp"),
                "scheduled": since.get("PodScheduled"),
                "started": running.get("startedAt"),
                "ready": since.get("Ready"),
                # Kubernetes writes the time at which the grace period is over, not that of the request
                "deleted": meta.get("deletionTimestamp"),
                "grace": meta.get("deletionGracePeriodSeconds"),
                "restarts": containers[0].get("restartCount", 0),
            }
        )
    return sorted(facts, key=lambda pod: (str(pod["created"]), pod["name"]))


def usage_facts(pods: list[Manifest]) -> dict[str, float | None]:
    """Return CPUs in use and bytes of memory of all pods together, of a PodMetricsList of metrics.k8s.io."""
    usage = [container["usage"] for pod in pods for container in pod["containers"]]
    if not usage:
        return {"cpu": None, "memory": None}
    return {name: float(sum(parse_quantity(str(each[name])) for each in usage)) for name in ("cpu", "memory")}


def _value(amount: Manifest | None) -> float | None:
    amount = amount or {}
    if amount.get("averageUtilization") is not None:
        return float(amount["averageUtilization"])
    text = amount.get("averageValue") or amount.get("value")
    try:
        return None if text is None else float(parse_quantity(str(text)))
    except ValueError:
        return None
