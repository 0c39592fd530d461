"""Why a container cannot be made, or ends: configuration, command, memory, exit codes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime

from mlk8s.assess.cause import Cause, LogSource, short
from mlk8s.assess.observed import Container, Object, age, parse_time, place, terminating

CONFIG_GRACE = 3.0
RETRY_GRACE = 60.0
"""Seconds that a node may take to get over a delay of its own, which it tries again by itself."""
INIT_GRACE = 20.0
"""Seconds after which an init container that still runs is worth naming."""
_QUICK = 10.0  # seconds that a start may take: what ends sooner has never worked

_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError", "PostStartHookError"}
NODE_DELAY = re.compile(
    r"failed to sync (configmap|secret) cache|timed out waiting for the condition"
    r"|failed to reserve (container|sandbox) name|deadline ?exceeded|code = Unavailable"
    r"|PVC is not bound",  # a pod has a node only when its claim is bound; the claim's phase says so later
    re.IGNORECASE,
)
_NO_COMMAND = re.compile(r"executable file not found|no such file or directory|permission denied")


def config(pod: Object, container: Container, now: datetime) -> Iterator[Cause]:
    """Yield why a container cannot be made: something that it names is missing, or it may not run so."""
    reason = container.waiting.get("reason")
    if reason not in _CONFIG:
        return
    words = str(container.waiting.get("message", reason))
    key, remedy = missing(words, pod)
    delayed = NODE_DELAY.search(words) is not None
    if delayed:
        remedy = "wait: the node tries again by itself; `mlk8s doctor` says whether it is overloaded"
    yield Cause(
        "node-slow" if delayed else key,
        f"container {container.name} cannot be made: {short(words)}",
        f"{place(pod)}, container {container.name}",
        remedy,
        certain=age(pod["status"].get("startTime"), now) >= (RETRY_GRACE if delayed else CONFIG_GRACE),
        evidence=(f"{reason}: {short(words)}",),
    )


def missing(words: str, pod: Object, other: str = "container-config") -> tuple[str, str]:
    """Return the id and the remedy for the kubelet's words about a Secret, a ConfigMap or a user.

    Args:
        other: id where the words are none of these.
    """
    namespace = pod["metadata"].get("namespace")
    key = re.search(r"couldn't find key (\S+) in (Secret|ConfigMap) (?:\S+/)?(\S+)", words)
    if key:
        return "missing-key", f"add the key {key[1]} to {key[2]} {key[3]}, or name one that it has"
    volume_key = re.search(r"references non-existent (secret|config) key: (\S+)", words)
    if volume_key:
        kind = "Secret" if volume_key[1] == "secret" else "ConfigMap"
        return "missing-key", f"add the key {volume_key[2]} to the {kind}, or name one that it has"
    gone = re.search(r'(secret|configmap)s? "([^"]+)" not found', words, re.IGNORECASE)
    if gone:
        kind = gone[1].lower()
        make = "secret generic" if kind == "secret" else "configmap"
        command = f"`kubectl create {make} {gone[2]} -n {namespace} --from-literal=KEY=VALUE`"
        return f"missing-{kind}", f"create it: {command}, or correct the name; the pod then starts by itself"
    if "runAsNonRoot" in words or "non-root" in words:
        return (
            "runs-as-root",
            "set securityContext.runAsUser to a number other than 0, or use an image with such a USER",
        )
    return other, "change what the message names; the pod then starts by itself"


def crash(pod: Object, container: Container, events: Sequence[Object]) -> Iterator[Cause]:
    """Yield why a container ended that should run, or an init container that should succeed."""
    yield from _never_started(pod, container)
    end = container.last_end
    if not end or (container.running and container.restarts == 0):
        return
    if container.done and (container.init or pod["spec"].get("restartPolicy", "Always") != "Always"):
        return
    if container.status.get("ready") and container.running:
        return
    if pod["spec"].get("restartPolicy") == "Never":
        return  # a pod of a Job: how often another one tries is the Job's to say
    again = bool(container.terminated) and container.restarts >= 1
    looping = container.waiting.get("reason") == "CrashLoopBackOff" or container.restarts >= 2 or again
    yield ended(pod, container, end, events, certain=looping)


def ended(
    pod: Object, container: Container, end: Object, events: Sequence[Object], *, certain: bool = True
) -> Cause:
    """Return why a container's run ended: memory, a command that is not there, or its exit code."""
    where = f"{place(pod)}, container {container.name}"
    logs = LogSource(pod["metadata"]["name"], container.name, previous=not container.terminated)
    code, reason = end.get("exitCode"), end.get("reason")
    words = str(end.get("message") or "").strip()
    facts = (f"last end: {exit_words(end)}, restarts: {container.restarts}",)
    if exceeded_memory(pod, container, end, events):
        return out_of_memory(pod, container, logs)
    not_run = code in (126, 127, 128) and _NO_COMMAND.search(words)
    if reason in ("StartError", "ContainerCannotRun") or not_run:
        return _command(pod, container, words)
    again = f"{container.restarts} restart{'' if container.restarts == 1 else 's'}"
    if container.init:
        return Cause(
            "init-failed",
            f"{container.name} failed with {exit_words(end)}{f': {short(words)}' if words else ''}",
            where,
            f"see `kubectl logs {pod['metadata']['name']} -c {container.name} -n "
            f"{pod['metadata'].get('namespace')}`, and mend what it says",
            certain=certain,
            logs=None if words else logs,
            evidence=facts,
        )
    if code == 0:
        return Cause(
            "exits-cleanly",
            f"{container.name} ends with exit code 0, {again}, and its pod is there to go on running",
            where,
            "let the command go on running, or run it as a Job",
            certain=certain,
            logs=logs,
            evidence=facts,
        )
    seconds = _lasted(end)
    when = "as soon as it starts" if seconds is None or seconds < _QUICK else f"after {seconds:.0f} s"
    return Cause(
        "crash-loop",
        f"{container.name} ends {when}: {exit_words(end)}, {again}",
        where,
        "its last log lines say why: mend the program or its configuration, then deploy again",
        certain=certain,
        logs=logs,
        evidence=facts,
    )


def exceeded_memory(pod: Object, container: Container, end: Object, events: Sequence[Object]) -> bool:
    """Return whether the kernel killed a container for its memory.

    The runtime can miss the kernel's notice of a short-lived container; then it is SIGKILL without the
    kubelet, which tells of every container that it kills itself.
    """
    if end.get("reason") == "OOMKilled":
        return True
    limit = container.spec.get("resources", {}).get("limits", {}).get("memory")
    killed = any(e.get("reason") == "Killing" and container.name in str(e.get("message")) for e in events)
    return end.get("exitCode") == 137 and limit is not None and not killed and not terminating(pod)


def out_of_memory(pod: Object, container: Container, logs: LogSource) -> Cause:
    """Return the cause of a container that the kernel killed for its memory."""
    resources = container.spec.get("resources", {})
    limit = resources.get("limits", {}).get("memory", "no limit")
    seen = container.last_end
    doubt = "" if seen.get("reason") == "OOMKilled" else f" (by {exit_words(seen)}, and not by the kubelet)"
    return Cause(
        "out-of-memory",
        f"{'init container ' if container.init else ''}{container.name} was killed because it used more "
        f"memory than its limit ({limit}){doubt}",
        f"{place(pod)}, container {container.name}",
        f"raise resources.limits.memory of {container.name} above {limit} (mlk8s: resources.memory), "
        "or make the model smaller",
        logs=logs,
        evidence=(f"last end: {exit_words(seen)}, {seen.get('reason')}, restarts: {container.restarts}",),
    )


def exit_words(end: Object) -> str:
    """Return how a run ended: 'exit code 137 (SIGKILL)'."""
    code, reason = end.get("exitCode"), end.get("reason")
    number = int(end.get("signal") or (code - 128 if isinstance(code, int) and 128 < code < 160 else 0))
    try:
        name = signal.Signals(number).name if number else None
    except ValueError:
        name = None
    said = name or (reason if reason not in (None, "Error", "Completed") else None)
    return f"exit code {code}{f' ({said})' if said else ''}"


def hanging(pod: Object, container: Container, now: datetime) -> Iterator[Cause]:
    """Yield an init container that runs and runs: the others wait for it. It may be about to end."""
    seconds = age(container.running.get("startedAt"), now)
    if not container.init or not container.running or seconds < INIT_GRACE:
        return
    yield Cause(
        "init-hangs",
        f"init container {container.name} has been running for {seconds:.0f} s, and the pod's other "
        "containers wait until it ends",
        f"{place(pod)}, container {container.name}",
        f"see what it waits for: `kubectl logs {pod['metadata']['name']} -c {container.name} -n "
        f"{pod['metadata'].get('namespace')}`",
        certain=False,
        logs=LogSource(pod["metadata"]["name"], container.name, previous=False),
    )


def _never_started(pod: Object, container: Container) -> Iterator[Cause]:
    if container.waiting.get("reason") == "RunContainerError":
        yield _command(pod, container, str(container.waiting.get("message", "")))


def _command(pod: Object, container: Container, words: str) -> Cause:
    told = words.rpartition("exec: ")[2] or words
    return Cause(
        "command-not-found",
        f"container {container.name} cannot start: {short(told).removesuffix(': unknown')}",
        f"{place(pod)}, container {container.name}",
        f"correct the command of container {container.name}: a program of the image that may be executed",
        evidence=(short(words),) if words else (),
    )


def _lasted(end: Object) -> float | None:
    start, finish = parse_time(end.get("startedAt")), parse_time(end.get("finishedAt"))
    return (finish - start).total_seconds() if start and finish else None
