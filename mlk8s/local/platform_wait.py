"""Whether each part of the platform really answers, and why not."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Any

import orjson

from mlk8s.assess.causes import Cause, pod_cause
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import NAMESPACE
from mlk8s.errors import ClusterError, LocalClusterError, NotFound, StorageError
from mlk8s.local.progress import Step

Check = Callable[[], str | None]
"""Says what is still missing; None: it answers."""

BUCKETS = ("models", "features")
API_SERVICES = {
    "v1beta1.metrics.k8s.io": "/apis/metrics.k8s.io/v1beta1/nodes",
    "v1beta1.custom.metrics.k8s.io": "/apis/custom.metrics.k8s.io/v1beta1",
    "v1beta2.custom.metrics.k8s.io": "/apis/custom.metrics.k8s.io/v1beta2",
    "v1beta1.external.metrics.k8s.io": "/apis/external.metrics.k8s.io/v1beta1",
}
"""The APIs that the adapter serves, and what is asked of each."""
_POLL = 0.2  # seconds between two looks
_PATIENCE = 20.0  # seconds in which a cause may still heal: an image that comes, a mount that is late
_SECOND = 1.0  # time-out of one question


def place_of(part: str) -> str:
    """The namespace of a part's workload."""
    return "kube-system" if part == "coredns" else NAMESPACE


def kind_of(part: str) -> str:
    """The kind of a part's workload."""
    return "StatefulSet" if part == "seaweedfs" else "Deployment"


def wait(cluster: Cluster, part: str, check: Check, step: Step, timeout: float, stop: Event) -> None:
    """Wait until a part's workload is rolled out and the part answers, or until `stop` is set.

    Raises:
        LocalClusterError: it cannot become ready, or did not within `timeout` seconds; with the cause.
    """
    began = time.monotonic()
    while not stop.is_set():
        missing = _unavailable(cluster, part) or check()
        if missing is None:
            return
        step.update(detail=missing)
        waited = time.monotonic() - began
        if waited > _PATIENCE:
            cause = _cause(cluster, part)
            if cause is not None and (cause.certain or waited > timeout):
                raise _failure(cluster, part, f"{missing}. {cause.message}", cause)
        if waited > timeout:
            raise _failure(cluster, part, f"after {timeout:g} s {missing}", None)
        stop.wait(_POLL)


def _unavailable(cluster: Cluster, part: str) -> str | None:
    kind = kind_of(part)
    found = cluster.find(kind, part, place_of(part))
    if found is None:
        return f"its {kind} is not there"
    status: dict[str, Any] = found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return f"its {kind} is not observed yet"
    if status.get("updatedReplicas", 0) < 1 or status.get("availableReplicas", 0) < 1:
        return "its pod is not ready"
    if status.get("replicas", 0) > status["updatedReplicas"]:
        return "its old pod is ending"
    return None


def _cause(cluster: Cluster, part: str) -> Cause | None:
    label = "k8s-app=kube-dns" if part == "coredns" else f"app.kubernetes.io/name={part}"
    now, events = datetime.now(UTC), cluster.events(place_of(part))
    causes = (pod_cause(pod, events, now) for pod in cluster.list("Pod", place_of(part), labels=label))
    return next((cause for cause in causes if cause is not None), None)


def _failure(cluster: Cluster, part: str, words: str, cause: Cause | None) -> LocalClusterError:
    lines = ""
    if cause is not None and cause.logs is not None:
        try:
            logs = cause.logs
            text = cluster.logs(
                logs.pod, place_of(part), container=logs.container, tail=5, previous=logs.previous
            )
            lines = "\n" + text.rstrip()
        except ClusterError:
            pass
    return LocalClusterError(
        f"the platform's {part} does not become ready: {words}{lines}",
        where=cause.where if cause else f"{kind_of(part)} {place_of(part)}/{part}",
        next_step=f"{cause.remedy}; then `mlk8s up` again continues"
        if cause
        else "`mlk8s up` again continues",
    )


def answers_http(url: str) -> Check:
    """Any HTTP answer will do: without a route an ingress controller says 404."""

    def check() -> str | None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=_SECOND)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            return f"{url} does not answer ({error})"
        finally:
            connection.close()
        return None

    return check


def answers_s3(endpoint: str, access_key_id: str, secret_access_key: str) -> Check:
    """Each bucket takes a signed request."""
    from mlk8s.storage.credentials import StorageConfig
    from mlk8s.storage.store import Store

    config = StorageConfig(endpoint, access_key_id, secret_access_key)

    def check() -> str | None:
        # A quick look first: the store's own retries are made for a network, not for a server that starts.
        unreachable = answers_http(endpoint)()
        if unreachable:
            return unreachable
        try:
            for bucket in BUCKETS:
                Store(f"s3://{bucket}", config).objects("mlk8s-probe")
        except StorageError as error:
            return f"object storage refuses a signed request ({error.what})"
        return None

    return check


def answers_queries(cluster: Cluster, place: str) -> Check:
    """Prometheus, at 'NAMESPACE/SERVICE:PORT', has scraped the node's kubelet."""
    namespace, _, service = place.partition("/")

    def check() -> str | None:
        try:
            answer = cluster.service_proxy(
                namespace, f"http:{service}", "/api/v1/query", {"query": 'up{job="kubelet"} == 1'}, _SECOND
            )
        except ClusterError as error:
            return f"Prometheus does not answer ({error.what})"
        return None if orjson.loads(answer)["data"]["result"] else "Prometheus has not scraped the node yet"

    return check


def serves(cluster: Cluster, path: str) -> Check:
    """The API server answers at a path that a part brings."""

    def check() -> str | None:
        try:
            cluster.raw("GET", path, timeout=_SECOND)
        except ClusterError as error:
            return f"{path} does not answer ({error.what})"
        return None

    return check


def answers_metrics(cluster: Cluster) -> Check:
    """Every metrics API is Available and answers; metrics.k8s.io knows the node."""

    def check() -> str | None:
        for name, path in API_SERVICES.items():
            try:
                service = cluster.get("APIService", name)
                conditions = (service.get("status") or {}).get("conditions") or []
                if not any(c["type"] == "Available" and c["status"] == "True" for c in conditions):
                    return f"APIService {name} is not Available"
                answer = orjson.loads(cluster.raw("GET", path, timeout=_SECOND))
            except NotFound:
                return f"APIService {name} is not served yet"
            except ClusterError as error:
                return f"{path} does not answer ({error.what})"
            if path.endswith("/nodes") and not answer.get("items"):
                return "metrics.k8s.io has no values of the node yet"
        return None

    return check
