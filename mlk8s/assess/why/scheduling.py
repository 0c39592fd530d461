"""Why no node takes a pod: from the scheduler's words alone, and with numbers where the nodes are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, age, condition, place, terminating
from mlk8s.assess.why.room import amount, free, nearest, requested
from mlk8s.assess.why.selecting import tolerated, unmatched

UNSCHEDULABLE_GRACE = 3.0
TERMINATING_GRACE = 20.0
"""Seconds that an unschedulable pod, or a quota, may wait for pods that are ending right now."""
NODE_GRACE = 12.0
ERROR_GRACE = 60.0
"""Seconds for which the scheduler tries again after an error of its own, such as a claim that was written
meanwhile, before that is a reason."""
_NO_SCHEDULER = 10.0  # seconds after which some scheduler should have looked at a pod

# The scheduler counts nodes by reason. Where several are named, the first of this list is the one to mend:
# room is missing on nodes that would fit otherwise, taints mostly belong to nodes that are for others.
_REASONS: tuple[tuple[str, str], ...] = (
    ("claim-missing", r'persistentvolumeclaim "[^"]+" not found'),
    ("claim-unbound", r"unbound immediate PersistentVolumeClaims|didn't find available persistent volumes"),
    ("no-node", r"no nodes available to schedule pods"),
    ("insufficient-device", r"Insufficient [\w.-]+/[\w./-]*\w"),
    ("insufficient-memory", r"Insufficient memory"),
    ("insufficient-cpu", r"Insufficient cpu"),
    ("insufficient-storage", r"Insufficient ephemeral-storage"),
    ("too-many-pods", r"Too many pods"),
    ("host-port", r"free ports for the requested pod ports"),
    ("topology-spread", r"topology spread constraints"),
    ("pod-affinity", r"pod (anti-)?affinity"),
    ("volume-elsewhere", r"volume node affinity conflict|no available volume zone"),
    ("node-selector", r"node affinity/selector|node\(s\) didn't match (Pod's )?node selector"),
    ("node-not-ready", r"node\.kubernetes\.io/(not-ready|unreachable)"),
    ("node-cordoned", r"were unschedulable|node\.kubernetes\.io/unschedulable"),
    ("untolerated-taint", r"untolerated taint"),
)


def unscheduled(pod: Object, events: Sequence[Object], now: datetime, crowded: bool) -> Iterator[Cause]:
    """Yield why a pod has no node.

    Args:
        events: those of the pod.
        crowded: whether pods are ending right now whose place it may get.
    """
    state = condition(pod, "PodScheduled")
    since = age(pod["metadata"].get("creationTimestamp"), now)
    if not pod.get("spec", {}).get("nodeName") and not state and since >= _NO_SCHEDULER:
        yield _ignored(pod)
    if state.get("status") != "False":
        return
    words = str(state.get("message", "no node fits"))
    if state.get("reason") == "SchedulingGated":
        gates = ", ".join(str(gate["name"]) for gate in pod["spec"].get("schedulingGates") or ())
        yield Cause(
            "scheduling-gated",
            f"the pod waits at its scheduling gate: {gates}",
            place(pod),
            f"have the controller that set {gates} remove it from spec.schedulingGates "
            "(a queue such as Kueue does so when it admits the pod)",
            certain=since >= UNSCHEDULABLE_GRACE,
        )
        return
    key = next((name for name, pattern in _REASONS if re.search(pattern, words)), "unschedulable")
    grace = NODE_GRACE if key in ("node-not-ready", "no-node") else UNSCHEDULABLE_GRACE
    if crowded:
        grace = max(grace, TERMINATING_GRACE)
    if state.get("reason") == "SchedulerError":
        grace = ERROR_GRACE
    growing = any(event.get("reason") in ("TriggeredScaleUp", "Nominated") for event in events)
    certain = not growing and since >= grace
    shown = words.partition(" preemption:")[0].strip()
    yield Cause(key, f"no node takes the pod: {shown}", place(pod), _remedy(key, words), certain,
                evidence=(f"scheduler: {words}",))  # fmt: skip


def _ignored(pod: Object) -> Cause:
    name = pod["spec"].get("schedulerName", "default-scheduler")
    return Cause(
        "no-scheduler",
        f"no scheduler has looked at the pod; it asks for {name!r}",
        place(pod),
        "remove spec.schedulerName, or start that scheduler: `kubectl get pods -n kube-system`",
    )


def _remedy(key: str, words: str) -> str:
    lacking = re.search(r"Insufficient ([\w./-]*\w)", words)
    taint = re.search(r"untolerated taint \{([^}]*)\}", words)
    if key == "insufficient-device" and lacking:
        return f"ask for fewer {lacking[1]}, free one that another pod holds, or add a node that has them"
    if key.startswith("insufficient") and lacking:
        return f"ask for less {lacking[1]}, free some, or add a node"
    if key == "untolerated-taint" and taint:
        name, _, value = taint[1].partition(":")
        told = f"key {name}" + (f", value {value.strip()}" if value.strip() else "")
        return f"add a toleration for {told} to the pod, or take the taint from a node"
    return {
        "claim-missing": "create the claim, or correct its name in spec.volumes",
        "claim-unbound": "see why the claim is not bound: `mlk8s why pvc/NAME`",
        "node-selector": "change the node selector, or label a node: `kubectl get nodes --show-labels`",
        "topology-spread": "raise maxSkew, say whenUnsatisfiable: ScheduleAnyway, or add nodes that have the "
        "topology key",
        "pod-affinity": "make spec.affinity.podAffinity or podAntiAffinity preferred instead of required, or "
        "add a node",
        "host-port": "remove hostPort and use a Service",
        "too-many-pods": "remove pods, or add a node",
        "node-cordoned": "`kubectl uncordon NODE`",
        "no-node": "add a node; a local cluster: `mlk8s up` repairs it",
        "node-not-ready": "see the node: `kubectl describe nodes`; a local cluster: `mlk8s up` repairs it",
    }.get(key, "see the nodes: `kubectl describe nodes`")


def with_nodes(cause: Cause, pod: Object, nodes: Sequence[Object], pods: Sequence[Object]) -> Cause:
    """Return a scheduling cause with numbers: what is asked for, what is free, which node is nearest.

    Args:
        nodes: every node of the cluster.
        pods: the pods of every namespace.
    """
    if cause.id.startswith("insufficient-"):
        return _room(cause, pod, nodes, pods)
    if cause.id == "untolerated-taint":
        return _taints(cause, pod, nodes)
    if cause.id == "node-cordoned":
        names = [str(n["metadata"]["name"]) for n in nodes if n.get("spec", {}).get("unschedulable")]
        return replace(cause, message=f"no node takes the pod: {', '.join(names)} is cordoned",
                       remedy=f"`kubectl uncordon {names[0]}`") if names else cause  # fmt: skip
    if cause.id == "node-selector":
        words = unmatched(pod, nodes)
        if words:
            return replace(
                cause,
                message=f"no node takes the pod: {words[0]}",
                remedy=words[1],
                evidence=(*cause.evidence, *_labels(nodes)),
            )
    return cause


def _room(cause: Cause, pod: Object, nodes: Sequence[Object], pods: Sequence[Object]) -> Cause:
    lacking = re.search(r"Insufficient ([\w./-]*\w)", " ".join(cause.evidence))
    if lacking is None or not nodes:
        return cause
    resource = lacking[1]
    wanted = requested(pod, resource)
    room = {str(node["metadata"]["name"]): free(node, pods, resource) for node in nodes}
    name, (left, whole) = nearest(room)
    asked, have, most = amount(resource, wanted), amount(resource, left), amount(resource, whole)
    holders = [
        f"{p['metadata']['namespace']}/{p['metadata']['name']} holds {amount(resource, held)}"
        for held, p in sorted(((requested(p, resource), p) for p in _of_node(pods, name)), key=_first)[-5:]
        if held
    ]
    largest = max(whole for _, whole in room.values())
    if wanted > largest:
        top = amount(resource, largest)
        message = f"the pod requests {asked} {resource}, and no node has as much: the largest has {top}"
        remedy = f"lower resources.requests to at most {top} {resource}, or add a larger node"
    else:
        message = (
            f"the pod requests {asked} {resource}, and no node has as much free: the nearest, {name}, has "
            f"{have} of {most} free"
        )
        remedy = f"lower resources.requests to at most {have} {resource}, free some on {name}, or add a node"
    facts = tuple(
        f"node {node}: {amount(resource, left)} of {amount(resource, whole)} {resource} free"
        for node, (left, whole) in room.items()
    )
    return replace(cause, message=message, remedy=remedy, evidence=(*cause.evidence, *facts, *holders))


def _of_node(pods: Sequence[Object], node: str) -> list[Object]:
    return [pod for pod in pods if pod.get("spec", {}).get("nodeName") == node and not terminating(pod)]


def _first(item: tuple[Decimal, Object]) -> Decimal:
    return item[0]


def _taints(cause: Cause, pod: Object, nodes: Sequence[Object]) -> Cause:
    """Name the taints themselves: newer schedulers only say that there are some."""
    found = [
        (str(node["metadata"]["name"]), taint)
        for node in nodes
        for taint in node.get("spec", {}).get("taints") or ()
        if taint["effect"] in ("NoSchedule", "NoExecute") and not tolerated(pod, taint)
    ]
    if not found:
        return cause
    name, taint = found[0]
    key, value = taint["key"], taint.get("value", "")
    shown = f"{key}{f'={value}' if value else ''}:{taint['effect']}"
    which = f"value: {value}" if value else "operator: Exists"
    toleration = f"{{key: {key}, {which}, effect: {taint['effect']}}}"
    return replace(
        cause,
        message=f"no node takes the pod: {name} has the taint {shown}, which the pod does not tolerate",
        remedy=f"add the toleration {toleration} to the pod, or `kubectl taint nodes {name} {shown}-`",
    )


def _labels(nodes: Sequence[Object]) -> list[str]:
    return [
        f"node {node['metadata']['name']}: "
        + ", ".join(f"{k}={v}" for k, v in sorted((node["metadata"].get("labels") or {}).items()))
        for node in nodes[:5]
    ]
