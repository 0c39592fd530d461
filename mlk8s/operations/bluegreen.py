"""Blue/green: a second version beside the first, all requests switched at once, and back; none is lost.

The order of the steps is what keeps it so:

* deploy:  idle colour's pods → ready → its preview leads to them; the live colour is not touched
* switch:  idle colour as many pods as the live one, all ready → the Service selects them → seen at the way in
           → autoscaler and preview follow
* finish:  not before `retain` seconds after a switch, so that whoever still holds a connection is answered;
           the pods drain before they end

Each phase is written down on the service's Deployment before it begins and may be repeated, so that any
process can go on where another one was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from mlk8s.assess.bluegreen import BlueGreenFacts, BlueGreenStatus, ColourFacts, Verb, assess_bluegreen
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import Conflict, UsageError
from mlk8s.operations import bluegreen_state, rollout_state
from mlk8s.operations.bluegreen_work import BlueGreenWork
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.deploy import OPTIONAL, Deployed, release
from mlk8s.operations.lease import OperatorLease, holder
from mlk8s.operations.lease import working as holder_alive
from mlk8s.operations.waiting import ServerClock
from mlk8s.render.bluegreen import Colour, identity, idle_size, other, render_idle, same_pods
from mlk8s.render.bundle import apply_order
from mlk8s.render.common import MODEL, Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import service_url
from mlk8s.render.service import render_service
from mlk8s.render.stored import dump_spec, stored_spec
from mlk8s.spec.service import ModelService

__all__ = ["BlueGreenStatus", "back", "deploy", "finish", "status", "switch"]

Say = Callable[[str], None]
_COLOURS: tuple[Colour, Colour] = ("blue", "green")
_POLL = 0.5


def status(cluster: Cluster, name: str, namespace: str) -> BlueGreenStatus:
    """Return what the cluster holds of a service's two colours.

    Raises:
        NotFound: no such service.
    """
    blue = cluster.get("Deployment", name, namespace)
    colours: dict[Colour, ColourFacts] = {}
    for colour in _COLOURS:
        instance = identity(name, colour).instance
        found = blue if colour == "blue" else cluster.find("Deployment", instance, namespace)
        if found is not None:
            colours[colour] = ColourFacts(
                model=(found["metadata"].get("annotations") or {}).get(MODEL),
                pods=int(found["spec"].get("replicas", 1)),
                ready=int((found.get("status") or {}).get("readyReplicas") or 0),
            )
    rollout = rollout_state.read(cluster, name, namespace)
    operator = holder(cluster, lease_name(name), namespace)
    if operator is not None and rollout is not None and not rollout.ended:
        operator = holder_alive(cluster, lease_name(name), namespace)  # a Lease outlives who was killed
    status = assess_bluegreen(
        BlueGreenFacts(
            service=name,
            record=bluegreen_state.read(blue),
            live=bluegreen_state.live(cluster, blue),
            colours=colours,
            operator=operator,
            now=ServerClock(cluster, namespace).now(),
        )
    )
    if rollout is None or rollout.kind != "bluegreen":
        return status
    return replace(status, rollout=asdict(rollout))


def deploy(
    cluster: Cluster,
    platform: Platform,
    spec: ModelService,
    *,
    wait: bool,
    timeout: float,
    say: Say,
    started: float,
) -> Deployed:
    """Start a new version as the idle colour of a service that runs; the live colour is not touched.

    A spec that makes the pods that are live already is applied to them: a change of replicas needs no second
    colour.

    Args:
        spec: complete: namespace, digest, image and storage filled in.

    Raises:
        Conflict: a switch is not finished, or another process works on the service.
        UsageError: the way in would change, which no switch can do without a lost request.
        RolloutFailed, WaitTimeout: the idle pods do not become ready; the live colour serves.
    """
    namespace = spec.namespace or cluster.namespace
    with _working(cluster, platform, spec.name, namespace, "deploy", say) as work:
        if spec.strategy == "BlueGreen" and same_pods(work.spec, spec, work.facts):
            live = work.deployment(work.live)
            if dump_spec(spec) != dump_spec(work.spec):
                say(f"{spec.name}: the pods stay as they are, and {work.live} goes on with the new settings")
            return release(
                cluster, platform, spec, live, wait=wait, timeout=timeout, say=say, started=started,
                track=identity(spec.name, work.live).track,
            )  # fmt: skip
        _refuse_strategy(work, spec)
        _require(work, "deploy")
        work.require_same_way_in(spec)
        idle = other(work.live)
        work.start(spec, idle)
        url = service_url(spec, work.facts)
        if not wait:
            say(f"{spec.name}: {idle} starts; `mlk8s bluegreen status {spec.name}` tells when it is ready")
            return Deployed(spec=spec, url=url, ready=0, seconds=time.monotonic() - started)
        ready = work.wait_ready(idle, timeout)
        work.open_preview(spec, idle)
        work.write("preview")
        say(
            f"{spec.name}: {idle} is ready with {spec.model} and has no requests yet; "
            f"`mlk8s bluegreen switch {spec.name}` gives it all of them"
        )
        return Deployed(spec=spec, url=url, ready=ready, seconds=time.monotonic() - started)


def planned(cluster: Cluster, spec: ModelService, facts: RenderFacts) -> list[Manifest] | None:
    """Return what `deploy` would apply, beside the live colour's way in and autoscaler, which stay.

    None where the service is not there, or has no colours and shall have none.

    Args:
        spec: complete, as for `deploy`.
    """
    blue = cluster.find("Deployment", spec.name, facts.namespace)
    if blue is None or (spec.strategy != "BlueGreen" and bluegreen_state.read(blue) is None):
        return None
    colour = bluegreen_state.live(cluster, blue)
    deployment = bluegreen_state.live_deployment(cluster, spec.name, facts.namespace)
    live = stored_spec(deployment) or spec
    track = identity(spec.name, colour).track
    if same_pods(live, spec, facts):
        return render_service(spec, facts, track)
    size = idle_size(spec, int(deployment["spec"].get("replicas", 1)))
    stays = [item for item in render_service(live, facts, track) if item["kind"] in OPTIONAL]
    return apply_order([*render_idle(spec, facts, other(colour), size), *stays])


def switch(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    timeout: float = 120.0,
    say: Say = print,
) -> BlueGreenStatus:
    """Give all requests to the colour that the last deploy brought.

    A switch that was cut off is finished by the same call, from any process.

    Args:
        timeout: seconds until that colour must have as many ready pods as the live one.

    Raises:
        UsageError: there is no second colour.
        Conflict: another process works on the service.
        RolloutFailed, WaitTimeout: its pods are not all ready; nothing was switched.
    """
    with _working(cluster, platform, name, namespace, "switch", say) as work:
        if work.record is not None and work.record.phase == "switched":
            say(f"{name}: {work.live} has all requests already")
        else:
            _require(work, "switch")
            work.move(work.newer, timeout)
            work.write("switched")
            kept = f"{other(work.live)} stays for at least {work.retain:g} s"
            say(
                f"{name}: {work.live} has all requests; {kept}: "
                f"`mlk8s bluegreen back {name}` switches back, `finish` removes it"
            )
    return status(cluster, name, namespace)


def back(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    timeout: float = 120.0,
    say: Say = print,
) -> BlueGreenStatus:
    """Give all requests back to the colour that had them before the last switch.

    Raises:
        UsageError: nothing was switched.
        Conflict: another process works on the service.
        RolloutFailed, WaitTimeout: its pods are not all ready; nothing was switched.
    """
    with _working(cluster, platform, name, namespace, "switch back", say) as work:
        _require(work, "back")
        work.move(other(work.newer), timeout)
        work.write("preview")
        say(f"{name}: {work.live} has all requests again; {other(work.live)} stays as the idle colour")
    return status(cluster, name, namespace)


def finish(
    cluster: Cluster, platform: Platform, name: str, namespace: str, *, now: bool = False, say: Say = print
) -> BlueGreenStatus:
    """Remove the idle colour: after a switch the old version, before one the new version.

    After a switch it waits until the old colour was kept for `retain` seconds; a call that is cut off there
    has changed nothing.

    Args:
        now: do not wait; requests in flight are still answered, by the pods' own drain.

    Raises:
        UsageError: there is no second colour, or a switch is not finished.
        Conflict: another process works on the service.
    """
    with _working(cluster, platform, name, namespace, "finish", say) as work:
        _require(work, "finish")
        left = 0.0 if now else work.retained()
        if left:
            say(f"{name}: {other(work.live)} is kept for {left:.0f} s more")
        while left and not now:
            time.sleep(min(left, _POLL))
            work.lease.check()
            left = work.retained()
        work.remove_idle()
        say(f"{name}: {work.live} is the only colour")
    return status(cluster, name, namespace)


def _require(work: BlueGreenWork, verb: Verb) -> None:
    """Refuse a verb that the phase does not allow.

    Raises:
        UsageError: there is no second colour.
        Conflict: there is one, in another phase.
    """
    found = status(work.cluster, work.name, work.namespace)
    if verb in found.allowed:
        return
    where = f"Deployment {work.namespace}/{work.name}"
    if found.phase == "single":
        raise UsageError(
            f"{work.name} has no second colour: {found.live} with {found.model} is all there is",
            where=where,
            next_step="deploy another version with strategy 'BlueGreen' first",
        )
    raise Conflict(
        f"{verb} is not possible: {work.name} is in phase {found.phase!r}, {found.live} is live",
        where=where,
        expected=f"one of: {', '.join(found.allowed)}",
        next_step=f"`mlk8s bluegreen {found.allowed[-1]} {work.name}`",
    )


def _refuse_strategy(work: BlueGreenWork, spec: ModelService) -> None:
    if spec.strategy == "BlueGreen":
        return
    raise Conflict(
        f"{spec.name} has blue/green colours, {work.live} is live, and the spec asks for {spec.strategy!r}",
        where=f"Deployment {work.namespace}/{spec.name}",
        expected="strategy 'BlueGreen', or a service whose blue colour is all there is",
        next_step="deploy with 'BlueGreen', switch until blue is live, and finish; then change the strategy",
    )


@contextmanager
def _working(
    cluster: Cluster, platform: Platform, name: str, namespace: str, purpose: str, say: Say
) -> Iterator[BlueGreenWork]:
    """Hold the service's Lease, the same that a canary needs, while a block works on its colours."""
    with OperatorLease(cluster, lease_name(name), namespace, purpose=f"{purpose} {name}", say=say) as lease:
        yield BlueGreenWork(cluster, platform, name, namespace, lease, say)
