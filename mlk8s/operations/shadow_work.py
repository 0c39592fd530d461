"""The steps of a shadow; each may be repeated, and each needs the Lease that guards a service's canary."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlk8s.clients.traffic import find_controller
from mlk8s.errors import Rejected, UsageError
from mlk8s.operations import bluegreen_state, canary_state, shadow_state
from mlk8s.operations import canary_checks as checks
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.canary_look import KINDS
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.deploy import MIRROR
from mlk8s.operations.dra import remove_templates
from mlk8s.operations.waiting import wait_rollout
from mlk8s.render.common import Identity
from mlk8s.render.routing import SSL_REDIRECT
from mlk8s.render.shadow import API, as_canary, mirror, shadow_workload
from mlk8s.spec.metric import BUILT_IN, INGRESS_RATE
from mlk8s.spec.shadow import Shadow

FOLLOWS = 1.5
"""Seconds in which Traefik has heard of a change, and what it copied before has been sent."""
_OTHERS = ("nginx.ingress.kubernetes.io/", "traefik.ingress.kubernetes.io/")


def require(work: CanaryWork, shadow: Shadow) -> Shadow:
    """Check all that must hold before anything is written; return the shadow with its model's digest.

    Raises:
        Conflict: a canary runs, no pod is ready, or a name is taken.
        UsageError: the service has no Ingress of its own to copy from, or another obstacle, named.
        Rejected: nothing here mirrors requests, or a quota leaves no room.
        StorageError: the model is not there.
    """
    if work.record is not None:
        canary_state.refuse_while_running(work.deployment)
    _require_fit(work)
    _require_traefik(work)
    checks.require_stable_ready(work)
    canary = checks.with_digest(work, as_canary(shadow))
    checks.require_another_model(work, canary)
    if shadow_state.read(work.deployment) is None:
        checks.require_room(work, canary)
    found: Shadow = shadow.replace(digest=canary.digest)
    refuse_foreign(
        work.cluster,
        [*shadow_workload(work.stable, found, work.facts), *mirror(work.stable, found, work.facts)],
    )
    return found


def start(work: CanaryWork, shadow: Shadow, timeout: float) -> None:
    """Start the shadow's pods and wait until they are ready; nothing leads to them.

    Raises:
        RolloutFailed, WaitTimeout: they are not, with the cause where there is one.
    """
    work.lease.check()
    apply_all(work.cluster, shadow_workload(work.stable, shadow, work.facts), say=work.say)
    wait_rollout(
        work.cluster, Identity(work.name, "shadow").instance, work.namespace,
        timeout=timeout, say=work.say, check=work.lease.check,
    )  # fmt: skip


def mirror_on(work: CanaryWork, shadow: Shadow) -> None:
    """Let Traefik copy the requests."""
    work.lease.check()
    apply_all(work.cluster, mirror(work.stable, shadow, work.facts), say=work.say)


def mirror_off(work: CanaryWork) -> bool:
    """Take the copies away and wait until Traefik has heard of it; return whether there were any."""
    work.lease.check()
    gone = False
    for kind in MIRROR:
        if work.cluster.serves(f"{API}/{kind}"):
            gone |= _delete(work, kind)
    if gone:
        time.sleep(FOLLOWS)
    return gone


def remove(work: CanaryWork) -> bool:
    """Take the copies away, then the pods, then the record; return whether anything was there."""
    state = shadow_state.read(work.cluster.get("Deployment", work.name, work.namespace))
    if state is not None:
        work.lease.check()
        shadow_state.turn(work.cluster, work.name, work.namespace, state, "stopping")
    gone = mirror_off(work)
    work.lease.check()
    for kind in KINDS:
        gone |= _delete(work, kind)
    remove_templates(work.cluster, work.namespace, shadow_state.selector(work.name))
    if state is not None:
        shadow_state.clear(work.cluster, work.name, work.namespace)
    return gone or state is not None


def _delete(work: CanaryWork, kind: str) -> bool:
    found = work.cluster.list(kind, work.namespace, labels=shadow_state.selector(work.name))
    for item in found:
        work.cluster.delete(kind, item["metadata"]["name"], work.namespace)
    return bool(found)


def _require_fit(work: CanaryWork) -> None:
    """Refuse a service whose requests cannot be copied without changing what happens to them.

    Raises:
        UsageError: says why.
    """
    checks.require_route(work)
    ingress = work.cluster.find("Ingress", work.name, work.namespace)
    why = None
    if bluegreen_state.read(work.deployment) is not None or work.stable.strategy == "BlueGreen":
        why = "it has two colours, and the idle one is where a new version is tried"
    elif ingress is None:
        why = "its way in is no Ingress, and copies are made beside one only"
    elif _follows_router(work):
        why = (
            "its autoscaler follows the requests of its Ingress, and copied ones are counted at another rule"
        )
    elif names := _foreign(ingress["metadata"].get("annotations") or {}):
        why = f"its Ingress has {', '.join(names)}, and copied requests would go past that"
    if why is not None:
        raise UsageError(
            f"{work.name} can have no shadow: {why}",
            where=f"Deployment {work.namespace}/{work.name}",
            expected="a service with an Ingress as mlk8s makes it, and one colour",
        )


def _follows_router(work: CanaryWork) -> bool:
    scale = work.stable.autoscale
    if scale is None:
        return False
    declared = [
        BUILT_IN.get(scale.metric) if isinstance(scale.metric, str) else scale.metric,
        *(item.declared for item in scale.metrics),
    ]
    return any(item is not None and item.series == INGRESS_RATE.series for item in declared)


def _foreign(annotations: Mapping[str, str]) -> list[str]:
    """Return the annotations that tell the controller something that the mirror would not do."""
    return sorted(key for key in annotations if key.startswith(_OTHERS) and key != SSL_REDIRECT)


def _require_traefik(work: CanaryWork) -> None:
    """Refuse a cluster in which nothing mirrors requests.

    Raises:
        Rejected: says what was found.
    """
    found = find_controller(work.cluster, work.ingress_class)
    why = None
    if not work.cluster.serves(f"{API}/TraefikService"):
        why = f"the cluster does not know {API}"
    elif found.running and not any(item.product == "Traefik" for item in found.running):
        why = found.reason
    if why is not None:
        raise Rejected(
            f"requests cannot be mirrored here: {why}",
            where=f"context {work.cluster.context!r}",
            expected="Traefik with its provider kubernetesCRD; nothing was written",
            next_step="`mlk8s up` brings the local platform up to date; else see manifests/platform",
        )
