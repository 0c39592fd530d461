"""A second version beside the first: start, weight, status, promote, roll back; no request is lost.

The order of the steps is what keeps it so:

* start:    objects with weight 0 → pods ready → controller seen to honour it → weight → split seen
* promote:  service gets the model, pod by pod, none going unreplaced → weight 0 → rule gone → pods gone
* rollback: weight 0, seen → the service's own model back, if a promotion had begun → rule gone → pods gone

Each phase is written down on the stable Deployment before it begins and may be repeated, so that any process
can go on where another one was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from mlk8s.assess.canary import CanaryRecord, CanaryStatus, Verb
from mlk8s.clients.traffic import find_controller, require_canary
from mlk8s.errors import Conflict, Mlk8sError, RolledBack, Unreachable, UsageError
from mlk8s.operations import bluegreen_state, canary_state, rollout_state, shadow_state
from mlk8s.operations import canary_checks as checks
from mlk8s.operations.canary_look import KINDS, lease_name, look
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.lease import OperatorLease
from mlk8s.operations.lease import working as holder_alive
from mlk8s.operations.preflight import require_permissions
from mlk8s.operations.service import Service
from mlk8s.spec.canary import Canary

__all__ = ["CanaryStatus", "promote", "rollback", "set_weight", "start", "status"]

Say = Callable[[str], None]


def start(
    service: Service,
    canary: Canary,
    *,
    timeout: float = 120.0,
    say: Say = print,
) -> CanaryStatus:
    """Start a canary of a service and give it its weight once its pods are ready.

    A start that was cut off is repeated by the same call.

    Args:
        timeout: seconds until its pods must be ready; a known cause ends the wait earlier.

    Returns:
        The canary's status with the observed split.

    Raises:
        NotFound: no such service.
        UsageError: the service has no route, or has this model already.
        Conflict: another canary runs, another process works on it, or its names are taken.
        Rejected: the ingress controller would ignore it; nothing was made.
        RolledBack: its pods never became ready, or the controller did not lead to it; it was removed, and its
            weight was 0 all the time.
    """
    kinds = ("Lease", "Ingress", *KINDS)
    require_permissions(service.cluster, service.namespace, kinds, ("Pod", "ReplicaSet"))
    with working(service, "canary start", say) as work:
        begin(work, canary, timeout)
        split = work.observe(canary.weight)
    return replace(_look(service), split=split)


def begin(work: CanaryWork, canary: Canary, timeout: float) -> CanaryRecord:
    """Bring a canary to its pods and its weight, under the Lease of `work`.

    Raises:
        As `start`.
    """
    name, say = work.name, work.say
    canary = check(work, canary)
    record = work.write(canary_state.new(canary))
    try:
        work.apply_canary(weight=0)
        say(f"{name}: canary {canary.model} applied with weight 0")
        work.wait_canary(timeout)
        work.require_honoured()
    except KeyboardInterrupt:
        say(f"{name}: the canary stays, with weight 0; the same start goes on, a rollback removes it")
        raise
    except (Conflict, Unreachable):
        raise  # somebody else works on it now, or nothing can be undone: the same start goes on
    except Mlk8sError as error:
        undo(work)
        raise RolledBack(
            f"the canary of {name} was removed: {error.what}",
            where=error.where,
            expected=error.expected,
            next_step=error.next_step or f"its weight was 0 all the time; {work.stable.model} serves",
        ) from error
    if canary.cookie is not None:
        work.stick(canary.cookie)
        say(f"{name}: a client stays with the version that answers it first, by the cookie {canary.cookie}")
    if record.weight:
        work.set_weight(record.weight)
    return work.write(record, phase="running")


def check(work: CanaryWork, canary: Canary) -> Canary:
    """Return a canary with its digest, after everything that can be refused before anything is made.

    Raises:
        As `start`, but RolledBack.
    """
    _refuse_other(work, canary)
    _refuse_strategy(work)
    checks.require_route(work)
    if work.rule.kind == "Ingress":
        controller = find_controller(work.cluster, work.ingress_class)
        require_canary(controller)
        work.say(f"{work.name}: {controller.reason}")
    checks.require_sticky(work, canary)
    checks.require_stable_ready(work)
    checks.require_free_names(work, canary)
    canary = checks.with_digest(work, canary)
    checks.require_another_model(work, canary)
    checks.require_room(work, canary)
    return canary


def status(service: Service) -> CanaryStatus:
    """Return what the cluster holds of a service's canary; every difference from its record is in the notes.

    Raises:
        NotFound: no such service.
    """
    cluster, name, namespace = service.cluster, service.name, service.namespace
    found = look(cluster, name, namespace)
    if found.operator is not None and holder_alive(cluster, lease_name(name), namespace) is None:
        found = look(cluster, name, namespace, worked_on=False)  # a Lease outlives a process that was killed
    found = _with_shadow(service, found)
    rollout = rollout_state.read(cluster, name, namespace)
    return found if rollout is None else replace(found, rollout=asdict(rollout))


def _with_shadow(service: Service, found: CanaryStatus) -> CanaryStatus:
    """Return a status with what is written down of a shadow, and whether anybody works on it."""
    state = shadow_state.read(service.cluster.get("Deployment", service.name, service.namespace))
    if state is None:
        return found
    stop = f"nobody works on it: `mlk8s canary shadow {service.name} --stop` removes it"
    return replace(found, shadow=f"{state}; {f'{found.operator} works on it' if found.operator else stop}")


def set_weight(
    service: Service,
    weight: int,
    *,
    force: bool = False,
    say: Say = print,
) -> CanaryStatus:
    """Change a running canary's share of the requests, and look whether the controller follows.

    Args:
        weight: percent, 0 to 100.
        force: take the weight over from whoever else set it.

    Raises:
        UsageError: weight out of range, or there is no canary.
        Conflict: somebody else set the weight meanwhile; names the field and its owner.
    """
    if not 0 <= weight <= 100:
        raise UsageError(f"weight {weight}", expected="0 to 100 percent")
    with working(service, "canary weight", say) as work:
        record = work.require("weight")
        work.observer.learn(check=work.lease.check, timeout=3.0)
        work.set_weight(weight, force=force)
        work.write(record, weight=weight)
        split = work.observe(weight)
    return replace(_look(service), split=split)


def promote(
    service: Service,
    *,
    timeout: float = 180.0,
    say: Say = print,
) -> CanaryStatus:
    """Make the canary's model the service's model, then remove the canary.

    A promotion that was cut off is finished by the same call, from any process.

    Args:
        timeout: seconds until the service's pods must have rolled over.

    Raises:
        UsageError: there is no canary, or it was rolled back or never started.
        Conflict: another process works on it, or none of its pods is ready.
        RolloutFailed, WaitTimeout: the service's new pods do not become ready; its old ones and the canary go
            on serving, and `rollback` undoes the rest.
    """
    with working(service, "canary promote", say) as work:
        finish(work, timeout)
        rollout_state.close(work, "promoted")
    return _look(service)


def finish(work: CanaryWork, timeout: float) -> None:
    """Give all requests to the canary's model, under the Lease of `work`; raises as `promote`."""
    record = work.require("promote")
    if record.phase == "running":
        checks.require_canary_ready(work)
        record = work.write(
            record, phase="promoting", previous=work.stable.model, previous_digest=work.stable.digest
        )
    work.apply_stable(record.model, record.digest, timeout)
    work.remove_traffic()
    work.remove_canary()
    work.clear()
    work.say(f"{work.name}: {record.model} has all requests; the canary is gone")


def rollback(
    service: Service,
    *,
    timeout: float = 120.0,
    say: Say = print,
) -> CanaryStatus:
    """Take the canary's traffic away, then the canary; the service goes back to what it was before.

    A rollback that was cut off is finished by the same call, from any process, and one without a canary only
    says so.

    Args:
        timeout: seconds until the service's own model must be back, where a promotion had begun.

    Raises:
        Conflict: another process works on it.
    """
    with working(service, "canary rollback", say) as work:
        if work.record is None and _look(service).phase == "none":
            say(f"{service.name}: there is no canary")
        else:
            undo(work, timeout)
        rollout_state.close(work, "rolled back")
    return _look(service)


def undo(work: CanaryWork, timeout: float = 120.0) -> None:
    """Take the traffic away, then the canary, under the Lease of `work`; raises as `rollback`."""
    record = work.record
    if record is not None:
        record = work.write(record, phase="rolling-back")
    work.remove_traffic(observe=True)
    if record is not None and record.previous is not None:
        work.apply_stable(record.previous, record.previous_digest, timeout)
    work.remove_canary()
    work.clear()
    work.say(f"{work.name}: {work.stable.model} has all requests; the canary is gone")


def _refuse_other(work: CanaryWork, canary: Canary) -> None:
    """Let a start that was cut off be repeated, and no other; a shadow is in the way, too."""
    shadow_state.refuse_while_running(work.deployment)
    record = work.record
    if record is not None and not (record.phase == "starting" and record.model == canary.model):
        canary_state.refuse_while_running(work.deployment)
    verb: Verb = "start"
    allowed = work.look().allowed
    if verb not in allowed:
        raise Conflict(
            f"{work.name} has objects of a canary that nobody recorded",
            where=f"namespace {work.namespace}",
            next_step=f"`mlk8s canary rollback {work.name}` removes them",
        )


def _refuse_strategy(work: CanaryWork) -> None:
    """Refuse a canary where promoting it could not be without a lost request, or where colours do its work.

    Raises:
        UsageError: names the strategy.
    """
    strategy = work.stable.strategy
    if bluegreen_state.read(work.deployment) is not None:
        strategy = "BlueGreen"
    why = {
        "Recreate": "promoting it would end all pods before the first new one, and lose requests",
        "BlueGreen": "the idle colour is where its new version is tried",
    }.get(strategy)
    if why is not None:
        raise UsageError(
            f"{work.name} has strategy {strategy!r} and can have no canary: {why}",
            where=f"Deployment {work.namespace}/{work.name}",
            expected="strategy 'RollingUpdate'",
            next_step="deploy it with 'RollingUpdate' first"
            if strategy == "Recreate"
            else f"deploy the new version, then `mlk8s bluegreen switch {work.name}`",
        )


def _look(service: Service) -> CanaryStatus:
    return look(service.cluster, service.name, service.namespace)


@contextmanager
def working(service: Service, purpose: str, say: Say) -> Iterator[CanaryWork]:
    """Hold the service's Lease while a block works on its canary."""
    name, what = lease_name(service.name), f"{purpose} {service.name}"
    with OperatorLease(service.cluster, name, service.namespace, purpose=what, say=say) as lease:
        work = CanaryWork(service, lease, say)
        try:
            yield work
        finally:
            work.close()
