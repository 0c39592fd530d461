"""Why a pod does not serve: the cause that rollouts know, with the numbers that take another look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mlk8s.assess.cause import Cause, LogSource, first, short
from mlk8s.assess.causes import pod_cause
from mlk8s.assess.observed import (
    Object,
    age,
    condition,
    containers,
    events_of,
    is_true,
    place,
    terminating,
)
from mlk8s.assess.why.containers import ended
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.probes import NO_WORDS, killed_by_probe
from mlk8s.assess.why.scheduling import with_nodes
from mlk8s.assess.why.storage import claim_cause

_NEEDS_NODES = ("insufficient-", "untolerated-taint", "node-selector", "node-cordoned")
_NO_LOG = "unable to retrieve container logs"  # what the kubelet answers in place of a log that is gone
_TELLS = {"CrashLoop", "InitContainer", "Pipeline", "OutOfMemory"}


def pod(item: Object, facts: Facts) -> Answer:
    """Return what is wrong with one pod."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer("it is ending", stuck)
    if terminating(item):
        return Answer("it is ending", starting=True)
    if item.get("status", {}).get("phase") == "Succeeded":
        return Answer("it has ended well")
    found = _found(item, facts)
    if found is not None and NO_WORDS not in found.message:
        return Answer(found.message, detailed(found, item, facts))
    if is_true(item, "Ready"):
        return Answer("the pod serves")
    lost = _lost(item, facts)
    if lost is not None:
        return Answer(lost.message, lost)
    return Answer(
        f"it starts, for {age(item['metadata'].get('creationTimestamp'), facts.now):.0f} s", starting=True
    )


def _found(item: Object, facts: Facts) -> Cause | None:
    crowded = any(terminating(other) for other in facts.of("Pod"))
    if is_true(item, "Ready"):
        told = events_of(item, facts.events)
        kills = (
            cause
            for container in containers(item)
            for cause in killed_by_probe(item, container, told, facts.now)
        )
        return first(kills)
    if item.get("status", {}).get("phase") == "Failed" and not item["status"].get("reason"):
        for container in containers(item):
            if container.terminated and not container.done:
                return ended(item, container, container.terminated, events_of(item, facts.events))
    return pod_cause(item, facts.events, facts.now, crowded=crowded)


def of_pods(pods: Iterable[Object], facts: Facts) -> Cause | None:
    """Return the first certain cause among several pods, else the first suspicion."""
    answers = (pod(item, facts) for item in pods)
    return first(answer.cause for answer in answers if answer.cause is not None)


def detailed(cause: Cause, item: Object | None, facts: Facts) -> Cause:
    """Return a pod's cause with what another look tells: nodes and their room, its claim, its last words."""
    if item is None:
        return cause
    if cause.id.startswith(_NEEDS_NODES):
        facts.want("Node", "*/Pod")
        return with_nodes(cause, item, facts.of("Node"), facts.of("*/Pod") or facts.of("Pod"))
    if cause.id in ("claim-missing", "claim-unbound"):
        return claim_cause(cause, item, facts)
    if cause.logs is not None and cause.kind in _TELLS | {"Probe"}:
        return with_words(cause, facts)
    return cause


def with_words(cause: Cause, facts: Facts) -> Cause:
    """Return a cause with the last log lines as evidence, and the very last one in its sentence."""
    lines = last_lines(cause.logs, facts) if cause.logs else []
    if not lines:
        return cause
    words = f"{cause.message}; its last words: {short(lines[-1].strip(), 200)!r}"
    tells = cause.kind in _TELLS - {"OutOfMemory"}
    return replace(
        cause,
        message=words if tells else cause.message,
        evidence=(*cause.evidence, *(f"log: {line}" for line in lines)),
    )


def last_lines(source: LogSource, facts: Facts) -> list[str]:
    """Return the last log lines of a container: of the run that is meant, else of the other."""
    meant, other = ("previous", "current") if source.previous else ("current", "previous")
    for run in (meant, other):
        told = facts.of(f"log:{source.pod}/{source.container}/{run}")
        lines = [str(item["line"]) for item in told if not item["line"].startswith(_NO_LOG)]
        if any(line.strip() for line in lines):
            return lines
    return []


def pod_at(cause: Cause, pods: Sequence[Object]) -> Object | None:
    """Return the pod that a cause is about; None where it is about something else."""
    where = cause.where.partition(",")[0]
    return next((item for item in pods if place(item) == where), None)


def _lost(item: Object, facts: Facts) -> Cause | None:
    name = item.get("spec", {}).get("nodeName")
    node = facts.one("Node", name) if name else None
    if node is None or is_true(node, "Ready"):
        return None
    state = condition(node, "Ready")
    return Cause(
        "node-lost",
        f"node {name} is not ready: {state.get('message', state.get('reason', 'no word from it'))}",
        place(item),
        f"see the node: `kubectl describe node {name}`; a local cluster: `mlk8s up` repairs it",
        evidence=(f"node {name}: Ready={state.get('status')} ({state.get('reason')})",),
    )
