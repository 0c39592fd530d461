"""How Kubernetes knows that a container lives, answers, and has ended."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import LONG_RUNNING, Container, Pod, entries, mapping, number, text

Found = Iterator[tuple[Keys, str]]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_GRACE = 30  # seconds, Kubernetes' default


def _asked(item: Container) -> bool:
    """Whether probes are asked of a container: it serves, or nothing else in its pod says that the pod lives."""
    pod = item.pod
    if item.init or pod.obj.kind not in LONG_RUNNING or item.keys[0] != "containers":
        return False
    if item.ports():
        return True
    return pod.obj.kind != "DaemonSet" and not any(
        other.ports() or any(other.body.get(name) for name in PROBES) for other in pod.main
    )


@rule(
    "liveness-probe", "warning", "container",
    "A container that serves has a liveness probe. Not asked of init containers, Jobs, and containers without a "
    "port beside one that has probes.",
    fix="add livenessProbe, on an endpoint that depends on nothing else",
    peers="kube-linter no-liveness-probe; kube-score pod-probes; Polaris livenessProbeMissing",
)  # fmt: skip
def _liveness(item: Container) -> Found:
    if _asked(item) and not mapping(item.body, "livenessProbe"):
        yield ("livenessProbe",), "nothing notices when it hangs"


@rule(
    "readiness-probe", "error", "container",
    "A container that serves has a readiness probe: requests come when it can answer. Not asked where liveness is not.",
    fix="add readinessProbe, on an endpoint that answers when requests can be served",
    peers="kube-linter no-readiness-probe; kube-score pod-probes; Polaris readinessProbeMissing",
)  # fmt: skip
def _readiness(item: Container) -> Found:
    if _asked(item) and not mapping(item.body, "readinessProbe"):
        yield ("readinessProbe",), "it gets requests before it can answer them"


@rule(
    "startup-probe", "warning", "container",
    "A slow start has a startup probe instead of a long initial delay of the liveness probe.",
    fix="add startupProbe with failureThreshold × periodSeconds ≥ the longest start, and remove initialDelaySeconds",
)  # fmt: skip
def _startup(item: Container) -> Found:
    delay = number(item.body, "livenessProbe", "initialDelaySeconds") or 0
    if delay > 30 and not mapping(item.body, "startupProbe"):
        yield (
            ("livenessProbe", "initialDelaySeconds"),
            f"for {delay} s a hung start goes unseen, and a longer one is killed",
        )


@rule(
    "identical-probes", "warning", "container",
    "Readiness and liveness do not ask the same at the same pace: a pod that is only busy would be killed, not spared.",
    fix="let livenessProbe ask something simpler, or give it more failures",
    peers="kube-score pod-probes-identical",
)  # fmt: skip
def _identical(item: Container) -> Found:
    live = mapping(item.body, "livenessProbe")
    if live and live == mapping(item.body, "readinessProbe"):
        yield ("livenessProbe",), "livenessProbe and readinessProbe are the same"


@rule(
    "probe-port", "error", "container",
    "A probe names a port that its container has.",
    fix="name one of the container's ports, or give the number",
    peers="kube-linter liveness-port, readiness-port, startup-port",
)  # fmt: skip
def _probe_port(item: Container) -> Found:
    names = {text(port, "name") for _, port in item.ports()}
    for probe in PROBES:
        for action in ("httpGet", "tcpSocket"):
            port = mapping(item.body, probe, action).get("port")
            if isinstance(port, str) and not port.isdigit() and port not in names:
                known = (
                    f"; its ports are {', '.join(sorted(names))}" if names - {""} else "; it names no port"
                )
                yield (
                    (probe, action, "port"),
                    f"the probe calls port {port!r}, which the container does not have{known}",
                )


@rule(
    "init-probes", "error", "container",
    "Only sidecars among the init containers (restartPolicy: Always) have probes or lifecycle hooks.",
    fix="remove the probe, or set restartPolicy: Always",
)  # fmt: skip
def _init(item: Container) -> Found:
    for field in (*PROBES, "lifecycle"):
        if item.init and not item.sidecar and item.body.get(field):
            yield (field,), f"an init container has no {field}: the API server refuses it"


@rule(
    "grace-period", "error", "pod",
    "A pod's grace period is longer than its preStop sleep.",
    fix="raise terminationGracePeriodSeconds above the sleep and the longest request",
)  # fmt: skip
def _grace(pod: Pod) -> Found:
    grace = number(pod.spec, "terminationGracePeriodSeconds")
    grace = _GRACE if grace is None else grace
    for item in pod.containers:
        sleep = number(item.body, "lifecycle", "preStop", "sleep", "seconds") or 0
        if sleep >= grace:
            keys = (*item.keys, "lifecycle", "preStop", "sleep", "seconds")
            yield keys, f"the pod sleeps {sleep} s before it ends and is killed after {grace} s"


@rule(
    "container-ports", "error", "pod",
    "Ports have names of their own in a pod, and no two containers listen on one number.",
    fix="rename or renumber one of them",
)  # fmt: skip
def _ports(pod: Pod) -> Found:
    names: dict[str, str] = {}
    numbers: dict[tuple[int, str], str] = {}
    for item in pod.containers:
        if item.init and not item.sidecar:
            continue
        for i, port in entries(item.body, "ports"):
            name, value = text(port, "name"), number(port, "containerPort")
            if name and names.setdefault(name, item.name) != item.name:
                yield (
                    (*item.keys, "ports", i, "name"),
                    f"port name {name!r} is also container {names[name]}'s",
                )
            taken = (value or 0, text(port, "protocol") or "TCP")
            if value and numbers.setdefault(taken, item.name) != item.name:
                yield (
                    (*item.keys, "ports", i, "containerPort"),
                    f"port {value} is also container {numbers[taken]}'s",
                )
