"""What goes on in a service: its events, its pods' logs, a command in a pod, a port of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlk8s.assess.observed import event_count, is_true, terminating
from mlk8s.clients.cluster import Cluster, event_time
from mlk8s.clients.forward import PortForward
from mlk8s.clients.streams import ExecResult, execute
from mlk8s.errors import Forbidden, NotFound, UsageError
from mlk8s.operations import bluegreen_state
from mlk8s.render.common import COMPONENT, INSTANCE, NAME
from mlk8s.render.routing import PORT

_KINDS = (
    "Deployment",
    "ReplicaSet",
    "Pod",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "VerticalPodAutoscaler",
    "PodDisruptionBudget",
    "Service",
    "Ingress",
)
SERVER = "server"
"""The model server's container."""


@dataclass(frozen=True)
class ServiceEvent:
    """One event of one of a service's objects.

    Attributes:
        time: when it was last seen, RFC 3339 in UTC, to the second.
        type: `Normal` or `Warning`.
        object: 'Kind/name'.
        count: how often it was seen.
    """

    time: str
    type: str
    reason: str
    object: str
    message: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.time}  {self.type:<7}  {self.reason}  {self.object}: {self.message}"


def selector(name: str) -> str:
    """Return the label selector of all pods of a service: a canary's and both colours' included."""
    return f"{NAME}={name},{COMPONENT}=model-server"


def events(cluster: Cluster, name: str, namespace: str) -> list[ServiceEvent]:
    """Return the events of a service's objects, pods that are gone included, newest last.

    Kubernetes forgets events after an hour.

    Raises:
        NotFound: there is nothing of that name.
        Forbidden: events may not be read.
    """
    names = _names(cluster, name, namespace)
    if not names:
        raise NotFound(
            f"no model service is named {name!r}",
            where=f"namespace {namespace!r} of context {cluster.context!r}",
            next_step="`mlk8s services` lists them",
        )
    found = []
    for event in cluster.events(namespace):
        about = event.get("involvedObject") or {}
        if not _belongs(about, names):
            continue
        found.append(
            ServiceEvent(
                time=f"{event_time(event).rstrip('Z').partition('.')[0]}Z",  # some have microseconds
                type=str(event.get("type") or "Normal"),
                reason=str(event.get("reason") or ""),
                object=f"{about.get('kind')}/{about.get('name')}",
                message=str(event.get("message") or "").strip(),
                count=event_count(event),
            )
        )
    return found


def _names(cluster: Cluster, name: str, namespace: str) -> set[tuple[str, str]]:
    """Return (kind, name) of every object of a service that is there and that we may read."""
    names: set[tuple[str, str]] = set()
    for kind in _KINDS:
        try:
            items = cluster.list(kind, namespace, labels=selector(name))
        except (Forbidden, NotFound):  # NotFound: a kind that this cluster does not have
            continue
        names |= {(kind, str(item["metadata"]["name"])) for item in items}
    return names


def _belongs(about: Mapping[str, Any], names: set[tuple[str, str]]) -> bool:
    kind, name = str(about.get("kind")), str(about.get("name"))
    if (kind, name) in names:
        return True
    # A pod that is gone is known by its ReplicaSet's name, an old ReplicaSet by its Deployment's.
    owner = {"Pod": "ReplicaSet", "ReplicaSet": "Deployment"}.get(kind)
    return owner is not None and (owner, name.rpartition("-")[0]) in names


def ready_pods(cluster: Cluster, name: str, namespace: str) -> list[str]:
    """Return the pods that have the requests of a service, those that are ready first."""
    instance = bluegreen_state.live_deployment(cluster, name, namespace)["metadata"]["name"]
    pods = cluster.list("Pod", namespace, labels=f"{selector(name)},{INSTANCE}={instance}")
    living = [pod for pod in pods if not terminating(pod) and pod.get("status", {}).get("phase") == "Running"]
    living.sort(key=lambda pod: (not is_true(pod, "Ready"), pod["metadata"]["name"]))
    return [str(pod["metadata"]["name"]) for pod in living]


def one_pod(cluster: Cluster, name: str, namespace: str, pod: str | None) -> str:
    """Return a pod of a service by name, or with None the first that is ready.

    Raises:
        NotFound: none runs, or no pod of the service has that name; names those that are there.
    """
    if pod is None:
        found = ready_pods(cluster, name, namespace)
        if found:
            return found[0]
        raise NotFound(
            f"no pod of {name} runs",
            where=f"namespace {namespace!r}",
            next_step=f"`mlk8s why {name}` and `mlk8s events {name}` say why",
        )
    there = [item["metadata"]["name"] for item in cluster.list("Pod", namespace, labels=selector(name))]
    if pod not in there:
        raise NotFound(
            f"{name} has no pod {pod!r}",
            where=f"namespace {namespace!r}",
            expected=f"one of: {', '.join(there) or 'none is there'}",
        )
    return pod


def run_command(
    cluster: Cluster,
    name: str,
    namespace: str,
    command: Sequence[str],
    *,
    pod: str | None = None,
    container: str | None = None,
    stdin: bytes | str | None = None,
    timeout: float | None = 60.0,
    output: Callable[[int, bytes], None] | None = None,
) -> ExecResult:
    """Run a command in a pod of a service; see `mlk8s.clients.streams.execute`.

    Raises:
        UsageError: no command, or one that cannot be started.
        NotFound: no such pod, or none runs.
        WaitTimeout: it still runs after `timeout` seconds.
    """
    if isinstance(command, str) or not command:
        raise UsageError(
            f"the command is {command!r}",
            expected='a list of words such as ["ls", "-l"]; ["sh", "-c", "..."] for a shell',
        )
    return execute(
        cluster, one_pod(cluster, name, namespace, pod), namespace, list(command),
        container=container or SERVER, stdin=stdin.encode() if isinstance(stdin, str) else stdin,
        timeout=timeout, output=output,
    )  # fmt: skip


def forward(
    cluster: Cluster,
    name: str,
    namespace: str,
    port: int = PORT,
    *,
    local_port: int = 0,
    pod: str | None = None,
    say: Callable[[str], None] = print,
) -> PortForward:
    """Return a local port that leads to a pod of a service, as a context manager.

    Raises:
        NotFound: no such pod, or none runs.
        UsageError: a port out of range, or a local port that is taken.
    """
    for what, number, least in (("port", port, 1), ("local port", local_port, 0)):
        if not least <= number <= 65535:
            raise UsageError(f"{what} {number}", expected=f"{least} to 65535")
    one_pod(cluster, name, namespace, pod)

    def pods() -> list[str]:
        return [pod] if pod is not None else ready_pods(cluster, name, namespace)

    return PortForward(cluster, namespace, pods, port, local_port=local_port, say=say)
