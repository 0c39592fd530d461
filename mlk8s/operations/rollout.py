"""The revisions of a service: what there was, back to one of them, pause, resume, restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlk8s.assess.rollout import RolloutFacts, RolloutVerdict, new_replica_set, previous_replica_set, revision
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import Conflict, NotFound, SpecError, UsageError
from mlk8s.operations import bluegreen_state, canary_state
from mlk8s.operations.deploy import CHANGE_CAUSE, Deployed, release
from mlk8s.operations.rollout_checks import refuse_paused
from mlk8s.operations.waiting import RolloutWatcher, wait_rollout
from mlk8s.render.common import MODEL, model_version
from mlk8s.render.stored import stored_spec
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]
MANAGER = "mlk8s-rollout"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""kubectl's own annotation of the pod template: a restart by either tool reads the same."""


@dataclass(frozen=True)
class Revision:
    """One revision of a service: a ReplicaSet that its Deployment keeps.

    Attributes:
        number: as `kubectl rollout history` counts; a revision that is gone back to gets a new number.
        model, version, digest: what it serves; None where mlk8s did not deploy it.
        created: when its pods were first asked for, RFC 3339 in UTC.
        cause: why it was made.
        ready: its ready pods: above 0, it serves.
        current: whether it is the one that the Deployment wants.
    """

    number: int
    model: str | None
    version: str | None
    digest: str | None
    created: str
    cause: str | None
    ready: int
    current: bool


def history(cluster: Cluster, name: str, namespace: str) -> list[Revision]:
    """Return the revisions that a service can go back to, oldest first; those of the live colour.

    Raises:
        NotFound: no such service.
    """
    facts = _facts(cluster, name, namespace)
    return _revisions(facts)


def undo(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    to_revision: int | None = None,
    wait: bool = True,
    timeout: float = 120.0,
    say: Say = print,
) -> Deployed:
    """Go back to a revision: by default the one before, that is the one that still serves, else the last.

    Everything is applied again from the spec of that revision, its ConfigMap, autoscaler and routes included.

    Raises:
        NotFound: there is no such service or revision; names those that are there.
        Conflict: a canary runs, the rollout is paused, or the service has two colours.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    started = time.monotonic()
    facts = RolloutWatcher(cluster, name, namespace).facts()
    canary_state.refuse_while_running(facts.deployment)
    _refuse_colours(facts.deployment, name)
    refuse_paused(facts.deployment, wait=wait, say=say)
    if to_revision:  # 0 is kubectl's word for the one before
        target: Any = _wanted(facts, to_revision, name, namespace)
    else:
        target = previous_replica_set(facts)
    spec = _spec(target)
    if spec is None:
        raise NotFound(
            f"{name} has no version to go back to",
            where=f"Deployment {namespace}/{name}",
            expected="an earlier revision that mlk8s deployed",
            next_step=f"`mlk8s rollout history {name}` shows the revisions",
        )
    number = revision(target)
    say(f"{name}: back to revision {number}, {spec.model}")
    return release(
        cluster, platform, spec, dict(facts.deployment), wait=wait, timeout=timeout, say=say, started=started,
        cause=f"undo to revision {number}, {spec.model}",
    )  # fmt: skip


def pause(cluster: Cluster, name: str, namespace: str, *, say: Say = print) -> None:
    """Stop a rollout where it is: pods stay as they are, old and new; changes wait until it is resumed.

    Raises:
        NotFound: no such service.
    """
    deployment = bluegreen_state.live_deployment(cluster, name, namespace)
    if deployment["spec"].get("paused"):
        say(f"{name}: is paused already")
        return
    _patch(cluster, deployment, {"spec": {"paused": True}})
    verdict = RolloutWatcher(cluster, deployment["metadata"]["name"], namespace).look()
    mixed = f"; {verdict.old}, still serves" if verdict.old else ""
    say(f"{name}: paused, {verdict.ready} of {verdict.wanted} pods are of the current revision{mixed}")


def resume(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    wait: bool = True,
    timeout: float = 180.0,
    say: Say = print,
) -> None:
    """Let a paused rollout go on, and wait until it is done.

    Raises:
        NotFound: no such service.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    deployment = bluegreen_state.live_deployment(cluster, name, namespace)
    if deployment["spec"].get("paused"):
        _patch(cluster, deployment, {"spec": {"paused": None}})
        say(f"{name}: resumed")
    else:
        say(f"{name}: is not paused")
    if wait:
        wait_rollout(cluster, deployment["metadata"]["name"], namespace, timeout=timeout, say=say)


def restart(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    wait: bool = True,
    timeout: float = 180.0,
    say: Say = print,
) -> None:
    """Replace every pod by a new one of the same version, in the way of the service's strategy.

    Raises:
        NotFound: no such service.
        Conflict: its rollout is paused.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    deployment = bluegreen_state.live_deployment(cluster, name, namespace)
    refuse_paused(deployment, wait=True, say=say)
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    _patch(cluster, deployment, {"spec": {"template": {"metadata": {"annotations": {RESTARTED: stamp}}}}})
    say(f"{name}: restarts")
    if wait:
        wait_rollout(cluster, deployment["metadata"]["name"], namespace, timeout=timeout, say=say)


def status(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    wait: bool = True,
    timeout: float = 180.0,
    say: Say = print,
) -> RolloutVerdict:
    """Return how far a service's rollout is; with `wait` as soon as it is done or has failed.

    Raises:
        NotFound: no such service.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    instance = bluegreen_state.live_deployment(cluster, name, namespace)["metadata"]["name"]
    if wait:
        return wait_rollout(cluster, instance, namespace, timeout=timeout, say=say)
    return RolloutWatcher(cluster, instance, namespace).look()


def _facts(cluster: Cluster, name: str, namespace: str) -> RolloutFacts:
    deployment = bluegreen_state.live_deployment(cluster, name, namespace)
    return RolloutWatcher(cluster, deployment["metadata"]["name"], namespace).facts()


def _revisions(facts: RolloutFacts) -> list[Revision]:
    current = new_replica_set(facts)
    found: list[Revision] = []
    restarted = None
    for item in sorted(facts.replica_sets, key=revision):
        metadata = item["metadata"]
        annotations = metadata.get("annotations") or {}
        spec, model = _spec(item), annotations.get(MODEL)
        template = item["spec"]["template"]["metadata"].get("annotations") or {}
        cause = annotations.get(CHANGE_CAUSE)
        if template.get(RESTARTED) not in (None, restarted):
            restarted = template[RESTARTED]
            if found and found[-1].cause == cause:
                cause = f"restart at {restarted}"
        found.append(
            Revision(
                number=revision(item),
                model=model,
                version=model_version(model) if model else None,
                digest=spec.digest if spec else None,
                created=str(metadata["creationTimestamp"]),
                cause=cause,
                ready=int((item.get("status") or {}).get("readyReplicas") or 0),
                current=item is current,
            )
        )
    return found


def _wanted(facts: RolloutFacts, number: int, name: str, namespace: str) -> Any:
    found: Sequence[Any] = [item for item in facts.replica_sets if revision(item) == number]
    there = sorted(revision(item) for item in facts.replica_sets)
    if not found:
        raise NotFound(
            f"{name} has no revision {number}",
            where=f"Deployment {namespace}/{name}",
            expected=f"one of: {', '.join(map(str, there))}",
            next_step=f"`mlk8s rollout history {name}` shows them",
        )
    if found[0] is new_replica_set(facts):
        raise UsageError(
            f"revision {number} is the current one of {name}",
            where=f"Deployment {namespace}/{name}",
            expected=f"one of: {', '.join(str(item) for item in there if item != number) or 'none is left'}",
        )
    return found[0]


def _spec(replica_set: Any) -> ModelService | None:
    try:
        return stored_spec(replica_set) if replica_set is not None else None
    except SpecError:
        return None  # of another version of mlk8s


def _refuse_colours(deployment: Any, name: str) -> None:
    if bluegreen_state.read(deployment) is None:
        return
    raise Conflict(
        f"{name} is a blue/green service: its versions are its colours, not its revisions",
        where=f"Deployment {deployment['metadata'].get('namespace')}/{name}",
        expected="a service that is updated pod by pod",
        next_step=f"`mlk8s bluegreen back {name}` switches back; after a finish, deploy the older model",
    )


def _patch(cluster: Cluster, deployment: Any, body: Any) -> None:
    metadata = deployment["metadata"]
    cluster.patch("Deployment", metadata["name"], body, metadata["namespace"], manager=MANAGER)
