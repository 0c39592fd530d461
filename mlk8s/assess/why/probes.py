"""Which probe fails, and what it was answered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from mlk8s.assess.cause import Cause, LogSource, short
from mlk8s.assess.observed import Container, Object, age, containers, place

NO_WORDS = "the kubelet has not said why"
_REMEDIES = {
    "startup": "see its log; where it only needs longer, raise startupProbe.failureThreshold "
    "(mlk8s: startup_timeout)",
    "readiness": "see its log; correct the readinessProbe's path and port, or what the server says there",
    "liveness": "see its log; correct the livenessProbe's path and port, or raise its timeoutSeconds and "
    "failureThreshold",
}


RECENT = 120.0
"""Seconds for which a container that is ready again is still told of its last kill."""


def killed_by_probe(
    pod: Object, container: Container, events: Sequence[Object], now: datetime
) -> Iterator[Cause]:
    """Yield the probe because of which the kubelet stopped a container."""
    for event in reversed(events):
        found = re.search(r"failed (startup|liveness) probe", str(event.get("message", "")))
        if event.get("reason") != "Killing" or not found or container.name not in event["message"]:
            continue
        kind = found[1]
        if container.status.get("ready") and (
            kind == "startup" or age(event.get("lastTimestamp"), now) > RECENT
        ):
            return
        yield Cause(
            f"{kind}-probe",
            f"{container.name} was stopped because its {kind} probe ({asked(container, kind)}) failed: "
            f"{probe_words(events, kind)}",
            f"{place(pod)}, container {container.name}",
            _REMEDIES[kind],
            logs=LogSource(pod["metadata"]["name"], container.name, previous=container.restarts > 0),
            evidence=(f"restarts: {container.restarts}", *_unhealthy(events)),
        )
        return


def never_ready(pod: Object, events: Sequence[Object], now: datetime) -> Iterator[Cause]:
    """Yield the readiness probe's words; certain once a pod ran for as long as its start may take."""
    for container in containers(pod):
        if container.init or not container.running or container.status.get("ready"):
            continue
        startup = container.spec.get("startupProbe")
        if startup is None and container.spec.get("readinessProbe") is None:
            continue
        allowed = (startup or {}).get("failureThreshold", 3) * (startup or {}).get("periodSeconds", 10)
        kind = "readiness" if container.status.get("started") else "startup"
        words = probe_words(events, kind)
        yield Cause(
            f"{kind}-probe",
            f"{container.name} runs but its {kind} probe ({asked(container, kind)}) fails: {words}",
            f"{place(pod)}, container {container.name}",
            _REMEDIES[kind],
            certain=words != NO_WORDS and age(container.running.get("startedAt"), now) > allowed,
            logs=LogSource(pod["metadata"]["name"], container.name, previous=False),
            evidence=_unhealthy(events),
        )


def probe_words(events: Sequence[Object], kind: str) -> str:
    """Return what a probe was answered the last time it failed."""
    for event in reversed(events):
        words = str(event.get("message", ""))
        if event.get("reason") == "Unhealthy" and words.lower().startswith(kind):
            return short(words.partition(": ")[2] or words)
    return NO_WORDS


def asked(container: Container, kind: str) -> str:
    """Return what a probe asks: 'GET /v2/health/ready on port 8080'."""
    probe = container.spec.get(f"{kind}Probe") or {}
    if "httpGet" in probe:
        return f"GET {probe['httpGet'].get('path', '/')} on port {probe['httpGet'].get('port')}"
    if "tcpSocket" in probe:
        return f"TCP port {probe['tcpSocket'].get('port')}"
    if "grpc" in probe:
        return f"gRPC on port {probe['grpc'].get('port')}"
    if "exec" in probe:
        return "exec " + " ".join(str(part) for part in probe["exec"].get("command") or ())
    return "none declared"


def _unhealthy(events: Sequence[Object]) -> tuple[str, ...]:
    told = [str(event["message"]) for event in events if event.get("reason") == "Unhealthy"]
    return tuple(dict.fromkeys(short(words, 200) for words in told[-3:]))
