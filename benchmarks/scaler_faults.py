"""Faults of what KEDA scales and of what VPA looks after, for a cluster that has them."""

from __future__ import annotations

from faults import Fault
from scene import IDLE, SERVER, Manifest, Scene

PROMETHEUS = "http://prometheus.mlk8s-system.svc:9090"


def triggered(
    scene: Scene, query: str, *, address: str = PROMETHEUS, target: str = "x", most: int = 3,
    kind: str = "prometheus", annotations: dict[str, str] | None = None, **fields: str,
) -> list[Manifest]:  # fmt: skip
    """A server, and a ScaledObject that follows a query."""
    metadata = {"serverAddress": address, "query": query, "threshold": "1", **fields}
    body = {
        "scaleTargetRef": {"name": target},
        "minReplicaCount": 1,
        "maxReplicaCount": most,
        "pollingInterval": 2,
        "triggers": [{"type": kind, "metadata": metadata}],
    }
    scaled = scene.object("keda.sh/v1alpha1", "ScaledObject", spec=body)
    scaled["metadata"]["annotations"] = annotations or {}
    return [scene.deployment(scene.container(SERVER)), scaled]


def watched(
    scene: Scene, *, target: str = "x", mode: str = "Off", program: str = IDLE, replicas: int = 1,
    **pod: object,
) -> list[Manifest]:  # fmt: skip
    """A Deployment, and a VPA that looks after it."""
    body = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "updatePolicy": {"updateMode": mode},
    }
    vertical = scene.object("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", spec=body)
    return [scene.deployment(scene.container(program), spec={"replicas": replicas}, **pod), vertical]


PAUSED = {"autoscaling.keda.sh/paused-replicas": "1"}
SCALERS: list[Fault] = [
    Fault("keda-query", "x", "keda-query", r"refuses .*sum\(rate\(x: .*parse error",
          lambda s: triggered(s, "sum(rate(x"), needs="keda"),
    Fault("keda-no-value", "scaledobject/x", "keda-no-value", r"sum\(absent_total\) has no value",
          lambda s: triggered(s, "sum(absent_total)"), needs="keda"),
    Fault("keda-strict", "so/x", "keda-no-value", r"its ignoreNullValues is false",
          lambda s: triggered(s, "sum(absent_total)", ignoreNullValues="false"), needs="keda"),
    Fault("keda-unreachable", "so/x", "keda-unreachable", r"cannot reach http://absent\.mlk8s-system\.svc:9090",
          lambda s: triggered(s, "vector(1)", address="http://absent.mlk8s-system.svc:9090"), needs="keda"),
    Fault("keda-hpa", "hpa/keda-hpa-x", "keda-unreachable", r"cannot reach http://\S+:9999",
          lambda s: triggered(s, "vector(1)", address=PROMETHEUS.replace("9090", "9999")), needs="keda"),
    Fault("keda-type", "so/x", "keda-refused", r"no scaler found for type: prometeus",
          lambda s: triggered(s, "vector(1)", kind="prometeus"), needs="keda"),
    Fault("keda-no-target", "so/x", "keda-no-target", r'"y" not found',
          lambda s: triggered(s, "vector(1)", target="y"), needs="keda"),
    Fault("keda-paused", "x", "keda-paused", r"paused at 1 replicas by its annotation",
          lambda s: triggered(s, "vector(1)", annotations=PAUSED), needs="keda"),
    Fault("keda-at-max", "x", "hpa-at-max", r"more than its maximum of 1 replicas",
          lambda s: triggered(s, "vector(100)", most=1), needs="keda"),
    Fault("hpa-keda", "hpa/x", "hpa-keda-serves", r"only those of its own ScaledObjects",
          lambda s: s.scaled({"type": "External", "external": {"metric": {"name": "queue_length"},
                                                               "target": {"type": "Value", "value": "1"}}}),
          needs="keda"),
    Fault("vpa-no-target", "vpa/x", "vpa-no-target", r"Deployment \S+/y does not exist",
          lambda s: watched(s, target="y"), needs="vpa"),
    Fault("vpa-no-pods", "vpa/x", "vpa-no-pods", r"Deployment x has no pods",
          lambda s: watched(s, replicas=0), needs="vpa"),
    Fault("vpa-pending", "vpa/x", "node-selector", r"gpu-type=a100",
          lambda s: watched(s, nodeSelector={"gpu-type": "a100"}), needs="vpa"),
    Fault("vpa-few-replicas", "vpa/x", "vpa-few-replicas", r"evicts none where fewer than 2 run",
          lambda s: watched(s, mode="Recreate"), needs="vpa"),
]  # fmt: skip
