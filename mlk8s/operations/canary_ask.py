"""What any process may ask of a rollout: of the one that works on it, or done here where none does."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlk8s.errors import UsageError, WaitTimeout
from mlk8s.operations import canary, rollout_state
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.lease import operator_name, working
from mlk8s.operations.rollout_state import Rollout, Wish
from mlk8s.operations.service import Service

Say = Callable[[str], None]
_POLL = 1.0


def promote(
    service: Service,
    *,
    timeout: float = 180.0,
    say: Say = print,
) -> None:
    """Promote the canary now, whatever is known of it.

    Raises:
        WaitTimeout: the process that works on it did not do it in time.
        As `canary.promote`, where no process works on it.
    """
    if not asked(service, "promote", timeout, say):
        _require_canary(service)
        canary.promote(service, timeout=timeout, say=say)


def rollback(
    service: Service,
    *,
    timeout: float = 120.0,
    say: Say = print,
) -> None:
    """Roll the canary back now, whatever is known of it; raises as `promote`."""
    if not asked(service, "rollback", timeout, say):
        _require_canary(service)
        canary.rollback(service, timeout=timeout, say=say)


def hold(service: Service, *, timeout: float = 60.0, say: Say = print) -> None:
    """Let weight and version stay as they are, except for a rollback, until `go_on`.

    Raises:
        UsageError: there is no rollout, or no process works on it: then nothing changes it anyway.
        WaitTimeout: the process that works on it did not answer in time.
    """
    cluster, name, namespace = service.cluster, service.name, service.namespace
    rollout_state.require(rollout_state.read(cluster, name, namespace), name, namespace)
    if not asked(service, "hold", timeout, say):
        raise UsageError(
            f"no process works on the rollout of {name}, so nothing changes it",
            where=f"namespace {namespace}",
            next_step=f"`mlk8s canary resume {name}` goes on, `mlk8s canary abort {name}` rolls back",
        )


def go_on(service: Service, *, timeout: float = 60.0, say: Say = print) -> bool:
    """Let a held rollout go on; return False where no process works on it.

    Raises:
        UsageError: there is no rollout, or it is not held.
        WaitTimeout: the process that works on it did not answer in time.
    """
    cluster, name, namespace = service.cluster, service.name, service.namespace
    found = rollout_state.require(rollout_state.read(cluster, name, namespace), name, namespace)
    if found.held is None:
        by = working(cluster, lease_name(name), namespace)
        if by is None:
            return False
        raise UsageError(
            f"the rollout of {name} is not held, and {by} works on it",
            where=f"namespace {namespace}",
            next_step=f"`mlk8s canary status {name}` shows it",
        )
    return asked(service, "resume", timeout, say)


def _require_canary(service: Service) -> None:
    found = rollout_state.read(service.cluster, service.name, service.namespace)
    rollout_state.require_kind(found, "canary", service.name, service.namespace)


def asked(service: Service, wish: Wish, timeout: float, say: Say) -> bool:
    """Ask the process that works on a rollout and wait until it has done it; False where there is none."""
    cluster, name, namespace = service.cluster, service.name, service.namespace
    found = rollout_state.read(cluster, name, namespace)
    if found is None or found.ended:
        return False
    by = working(cluster, lease_name(name), namespace)
    if by is None:
        return False
    request = rollout_state.ask(cluster, name, namespace, wish, operator_name())
    say(f"{name}: {by} works on its rollout and is asked: {wish}")
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        seen = rollout_state.read(cluster, name, namespace)
        if seen is None or _done(seen, request.id, wish):
            return True
        time.sleep(_POLL)
    raise WaitTimeout(
        f"{by} was asked ({wish}) and has not done it for {timeout:g} s",
        where=f"namespace {namespace}",
        next_step=f"`mlk8s canary status {name}`; when its process is gone, the same command does it itself",
    )


def _done(seen: Rollout, request: str, wish: Wish) -> bool:
    return seen.ended or (seen.answered == request and wish in ("hold", "resume"))
