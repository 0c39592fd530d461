"""Record the facts by which `why` names faults on a real cluster: tests/assess/facts/why-FAULT.json.

    python -m tests.assess.record_why CLUSTER [FAULT ...]

CLUSTER is a local cluster with its platform; each fault of benchmarks/faults.py gets a namespace of its own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from faults import FAULTS, Fault
from injection import inject, remove
from scaler_faults import SCALERS

import mlk8s
from mlk8s.assess.doctor_facts import Unknown
from mlk8s.assess.why.diagnose import FIRST, NAMED, diagnose
from mlk8s.assess.why.facts import Facts
from mlk8s.operations.why import Looking, parse
from tests.assess.recorded import FACTS

CASES = (
    "cpu", "gpu", "node-selector", "class-missing", "access-mode", "pod-security", "limit-range", "webhook",
    "image-not-found", "image-unauthorized", "mounted-key", "exit-0", "command", "init-oom", "init-fails",
    "liveness", "hpa-no-scrape", "hpa-target-down", "hpa-no-series", "hpa-no-rule", "hpa-no-request",
    "hpa-at-max", "keda-query", "keda-no-value", "keda-unreachable", "keda-paused", "vpa-no-target",
    "vpa-few-replicas", "service-port", "selector", "network-policy", "job", "cron-schedule", "budget",
    "finalizer",
)  # fmt: skip
_KEPT = (
    "name", "namespace", "uid", "labels", "annotations", "creationTimestamp", "deletionTimestamp",
    "finalizers", "ownerReferences", "generation",
)  # fmt: skip
_METRICS = ("metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io")


def main(cluster: str, *names: str) -> None:
    """Inject the named faults, or all that have a test, at once; record each when it is named."""
    k8s = mlk8s.connect(cluster=cluster)
    chosen = [fault for fault in (*FAULTS, *SCALERS) if fault.name in (names or CASES)]
    scenes = [inject(k8s.cluster, fault, k8s.platform.server_image or "") for fault in chosen]
    try:
        for fault, scene in zip(chosen, scenes, strict=True):
            print(fault.name, record(k8s, fault, scene.namespace), flush=True)
    finally:
        for scene in scenes:
            remove(k8s.cluster, scene)


def record(k8s: Any, fault: Fault, namespace: str) -> str | None:
    """Ask until the cause is named; write what was known then."""
    kind, name = parse(fault.asks)
    end = time.monotonic() + 90
    while True:
        looking = Looking(k8s.cluster, k8s.platform, namespace)
        looking.look_up("Namespace", *(FIRST.get(kind, (kind,)) if kind else (*NAMED, "Event")))
        found = looking.until_answered(lambda facts: diagnose(kind, name, facts))
        certain = found.cause is not None and found.cause.certain
        if (found.id == fault.cause and certain) or time.monotonic() > end:
            break
        time.sleep(1)
    facts = looking.facts()
    text = json.dumps(shrunk(fault, facts), sort_keys=True, indent=1)
    (FACTS / f"why-{fault.name}.json").write_text(text + "\n", encoding="utf-8")
    return found.id


def shrunk(fault: Fault, facts: Facts) -> dict[str, Any]:
    """Return the facts without what no rule reads."""
    found = {}
    for key, items in facts.found.items():
        if isinstance(items, Unknown):
            found[key] = {"unknown": items.reason}
        elif ":" in key and not key.startswith("one:"):
            found[key] = list(items)
        else:
            found[key] = [_slim(key, dict(item)) for item in items if _told(key, dict(item), facts)]
    return {
        "asks": fault.asks,
        "namespace": facts.namespace,
        "now": facts.now.isoformat(),
        "ingress_namespace": facts.ingress_namespace,
        "prometheus": facts.prometheus,
        "prometheus_service": facts.prometheus_service,
        "found": found,
    }


def _told(key: str, item: dict[str, Any], facts: Facts) -> bool:
    if key == "Namespace":
        return item["metadata"]["name"] in (facts.namespace, facts.ingress_namespace)
    if key == "APIService":
        return item["spec"].get("group") in _METRICS
    if key.endswith("/ConfigMap"):
        return any("seriesQuery" in text for text in (item.get("data") or {}).values())
    return True


def _slim(key: str, item: dict[str, Any]) -> dict[str, Any]:
    item["metadata"] = {name: item["metadata"][name] for name in _KEPT if name in item["metadata"]}
    if key == "*/Pod":
        containers = [
            {"name": one["name"], "resources": one.get("resources") or {}}
            for one in item["spec"]["containers"]
        ]
        item["spec"] = {"nodeName": item["spec"].get("nodeName"), "containers": containers}
        ready = [one for one in item["status"].get("conditions") or () if one["type"] == "Ready"]
        item["status"] = {"phase": item["status"].get("phase"), "conditions": ready}
        item["metadata"].pop("annotations", None)
    elif key == "Node":
        item["status"] = {name: item["status"][name] for name in ("allocatable", "conditions")}
    elif key == "Event":
        item = {
            name: item[name]
            for name in ("type", "reason", "message", "involvedObject", "lastTimestamp", "count")
            if name in item
        }
    return item


if __name__ == "__main__":
    main(*sys.argv[1:])
