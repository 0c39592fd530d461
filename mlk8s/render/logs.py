"""The log collector: a DaemonSet that may read the kubelet's log files, in a namespace of its own."""

from __future__ import annotations

from mlk8s.render.common import MANAGED_BY, MANAGER, NAME, Manifest, manifest, needed
from mlk8s.render.facts import RenderFacts
from mlk8s.render.network import namespace_peer, rules
from mlk8s.render.pod import CREDENTIALS_DIR, credentials_mount, credentials_volume
from mlk8s.render.workload import daemon_set, workload_surroundings
from mlk8s.spec.container import Container, Probe, Probes
from mlk8s.spec.logs import LogCollector
from mlk8s.spec.waive import waive
from mlk8s.spec.workload import DaemonSet

LOGS = "mlk8s.dev/logs"
"""Annotation of the DaemonSet: where the lines are."""
_PORT = 8081
_ROOT = "/var/log/pods"
_GRACE = 30


def render_log_collector(spec: LogCollector, facts: RenderFacts) -> list[Manifest]:
    """Return Namespace (Pod Security `privileged`), ServiceAccount, NetworkPolicy and DaemonSet.

    Raises:
        UsageError: neither the spec nor the facts name an image or the object storage.
    """
    endpoint = needed(
        spec.storage_endpoint or facts.storage_endpoint, "the object storage", "storage_endpoint"
    )
    collector = DaemonSet(
        name=spec.name,
        containers=(_container(spec, facts, endpoint),),
        scheduling=spec.scheduling,
        grace_period=_GRACE,
        labels=spec.labels,
    )
    workload = daemon_set(collector, facts)
    workload["metadata"]["annotations"] = {LOGS: spec.output}
    _let_read(workload, spec)
    return [_namespace(spec), *_surroundings(collector, facts, endpoint), workload]


def _namespace(spec: LogCollector) -> Manifest:
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    labels = {**spec.labels, NAME: spec.name, MANAGED_BY: MANAGER, **levels}
    return manifest("v1", "Namespace", spec.namespace, None, labels)


def _container(spec: LogCollector, facts: RenderFacts, endpoint: str) -> Container:
    image = needed(spec.image or facts.pipeline_image, "a pipeline image", "image")
    healthy = Probe(http_get="/healthz", period=5, timeout=5, failures=6)
    return Container(
        "collector",
        image,
        command=("python3", "-m", "mlk8s.collector"),
        env={
            "COLLECTOR_OUTPUT": spec.output,
            "COLLECTOR_ROOT": _ROOT,
            "COLLECTOR_FLUSH": f"{spec.flush:g}",
            "COLLECTOR_INCLUDE": ",".join(spec.include),
            "COLLECTOR_EXCLUDE": ",".join(spec.exclude),
            "COLLECTOR_PORT": str(_PORT),
            "STORAGE_ENDPOINT": endpoint,
        },
        ports={"http": _PORT},
        resources=spec.resources,
        probes=Probes(
            startup=healthy.replace(period=1, failures=60),
            readiness=healthy.replace(failures=3),
            liveness=healthy.replace(period=10),
        ),
    )


def _surroundings(collector: DaemonSet, facts: RenderFacts, endpoint: str) -> list[Manifest]:
    found = workload_surroundings(collector, facts, storage_endpoint=endpoint)
    callers = [namespace_peer(facts.prometheus_namespace)] if facts.prometheus_namespace else []
    ingress = [{"from": callers, "ports": [{"protocol": "TCP", "port": _PORT}]}] if callers else []
    for item in found:
        if item["kind"] == "NetworkPolicy":  # nobody of its own namespace calls it, Prometheus does
            policy = item["spec"]
            item["spec"] = {"podSelector": policy["podSelector"], **rules(ingress, policy["egress"])}
    return found


def _let_read(workload: Manifest, spec: LogCollector) -> None:
    """Add what only the collector has: the node's log files to read, group 0, the credentials, its node."""
    workload["metadata"]["annotations"] |= waive({"host-path": "the log files are the node's"})
    template = workload["spec"]["template"]
    template["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": str(_PORT)}
    pod = template["spec"]
    # The kubelet's files are root:root 0640 and their directories 0750: to be in group 0 is enough.
    pod["securityContext"] |= {"supplementalGroups": [0]}
    pod["volumes"] += [
        {"name": "pod-logs", "hostPath": {"path": _ROOT, "type": "Directory"}},
        credentials_volume(spec.storage_secret),
    ]
    (container,) = pod["containers"]
    container["volumeMounts"] += [
        {"name": "pod-logs", "mountPath": _ROOT, "readOnly": True},
        credentials_mount(),
    ]
    container["env"] += [
        {"name": "STORAGE_CREDENTIALS_DIR", "value": CREDENTIALS_DIR},
        {"name": "COLLECTOR_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
