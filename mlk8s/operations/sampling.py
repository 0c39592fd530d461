"""Looks at replicas, autoscaler, pods and Prometheus once a second and writes down what it sees.

Two threads, one for the API server and one for Prometheus (without one, for metrics.k8s.io): when one is slow
or gone, the other goes on, and the gap is a line with the error instead of a value.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from mlk8s.assess.sample import deployment_facts, hpa_facts, pod_facts, usage_facts
from mlk8s.clients.clock import Clock
from mlk8s.clients.cluster import Cluster, event_time
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import Mlk8sError, NotFound
from mlk8s.operations.bluegreen_state import live_deployment
from mlk8s.render.common import NAME
from mlk8s.render.keda import HPA_PREFIX

FILE = "cluster.jsonl"
_EVENTS_EACH = 5
"""Events are listed every so many samples: they are many, and change seldom."""
_WINDOW = "10s"


class Sampler:
    """Samples one service until it is stopped, as a context manager.

    Args:
        cluster: where the service runs.
        namespace, name: the service.
        prometheus: asked for the pods' own view, or None.
        directory: gets cluster.jsonl, a line a second and source, as they come.
        clock: gives the seconds since the epoch in "t".
    """

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, prometheus: Prometheus | None, directory: Path,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._prometheus = prometheus
        self._clock = clock
        self._file = (directory / FILE).open("ab", buffering=0)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._pods: list[dict[str, Any]] = []
        self._events: set[str] = set()
        self._count = 0
        sources: list[Callable[[], dict[str, Any]]] = [self._kubernetes]
        sources.append(self._server if prometheus is not None else self._usage)
        self._threads = [
            threading.Thread(target=self._beat, args=(source,), daemon=True) for source in sources
        ]

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5.0)
        with self._lock:
            self._file.close()

    def _beat(self, source: Callable[[], dict[str, Any]]) -> None:
        """Sample in the middle of each second, so that a late sample still falls into its own."""
        due = int(self._clock.now()) + 0.5
        while not self._over.wait(max(0.0, due - self._clock.now())):
            began = self._clock.now()
            try:
                seen = source()
            except Mlk8sError as error:
                seen = {"gap": source.__name__.strip("_"), "error": error.what}
            # A sample tells of the moment it was asked for, not of that of a slow answer.
            if seen:
                self._write({"t": round(began, 3), **seen})
            due = max(due + 1.0, int(self._clock.now()) + 0.5)

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            if self._file.closed:
                return
            try:
                self._file.write(orjson.dumps(line) + b"\n")
            except OSError:
                return  # a full disk: the load generator says so, and the gap is seen in the timeline

    def _kubernetes(self) -> dict[str, Any]:
        cluster, namespace, name = self._cluster, self._namespace, self._name
        kind = "HorizontalPodAutoscaler"
        live = live_deployment(cluster, name, namespace)  # a switch may come in the middle of a load test
        instance = live["metadata"]["name"]
        hpa = cluster.find(kind, instance, namespace) or cluster.find(kind, HPA_PREFIX + name, namespace)
        seen: dict[str, Any] = {
            "deployment": deployment_facts(live),
            "hpa": hpa_facts(hpa) if hpa else None,
        }
        pods = pod_facts(cluster.list("Pod", namespace, labels=f"{NAME}={name}"))
        if pods != self._pods:
            seen["pods"] = self._pods = pods
        if hpa and self._count % _EVENTS_EACH == 0:
            events = self._new_events(hpa)
            if events:
                seen["events"] = events
        self._count += 1
        return seen

    def _new_events(self, of: dict[str, Any]) -> list[dict[str, Any]]:
        new = []
        for event in self._cluster.events(self._namespace, of=of):
            key = f"{event['metadata']['uid']} {event.get('count')}"
            if key not in self._events:
                self._events.add(key)
                new.append(
                    {"at": event_time(event), "reason": event.get("reason"), "message": event.get("message")}
                )
        return new

    def _server(self) -> dict[str, Any]:
        assert self._prometheus is not None
        # Pod names of the Deployment, its canary and its other colour; a service whose name only begins alike
        # has others.
        name = f"{self._name}(-canary|-green)?-[a-z0-9]{{1,10}}-[a-z0-9]{{5}}"
        pods = f'namespace="{self._namespace}",pod=~"{name}"'
        count = f'http_server_request_duration_seconds_count{{{pods},route=~".*infer"'
        wanted = {
            "in_flight": f"sum by (pod) (requests_in_flight{{{pods}}})",
            "rps": f"sum(rate({count}}}[{_WINDOW}]))",
            "failed": f'sum(rate({count},code=~"5.."}}[{_WINDOW}]))',
            # irate, as the platform's adapter: kubelet refreshes its values every 10 to 15 s.
            "cpu": f'sum(irate(container_cpu_usage_seconds_total{{{pods},container!=""}}[1m]))',
            "memory": f'sum(container_memory_working_set_bytes{{{pods},container!=""}})',
        }
        expression = " or ".join(
            f'label_replace({query}, "what", "{what}", "", "")' for what, query in wanted.items()
        )
        by_pod: dict[str, float] = {}
        values: dict[str, float] = {}
        for sample in self._prometheus.query(expression):
            if sample.labels.get("what") == "in_flight":
                by_pod[sample.labels.get("pod", "")] = sample.value
            else:
                values[sample.labels.get("what", "")] = sample.value
        rate = values.get("rps")
        server = {
            "in_flight": sum(by_pod.values()) if by_pod else None,
            "by_pod": by_pod,
            "rps": rate,
            "error_rate": values.get("failed", 0.0) / rate if rate else None,
        }
        return {"server": server, "usage": {name: values.get(name) for name in ("cpu", "memory")}}

    def _usage(self) -> dict[str, Any]:
        """CPU and memory from metrics.k8s.io, for want of Prometheus; nothing where nobody serves it."""
        place = f"/apis/metrics.k8s.io/v1beta1/namespaces/{self._namespace}/pods"
        try:
            answer = self._cluster.raw("GET", place, query={"labelSelector": f"{NAME}={self._name}"})
        except NotFound:
            return {}
        return {"usage": usage_facts(orjson.loads(answer)["items"])}
