"""What people and accidents do to a rollout: wishes, weights set by hand, no evidence, no pods."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlk8s.assess.evidence.words import duration_words
from mlk8s.errors import Conflict, RolledBack
from mlk8s.operations import canary_ends as ends
from mlk8s.operations.canary_running import Running, Seen
from mlk8s.operations.rollout_state import Request

_HEED = 2.0
"""Seconds from look to look for a wish while pods are waited for."""


def answer(on: Running, request: Request | None) -> bool:
    """Do what was asked by another process or by the view; return whether the rollout ended with it."""
    on.wish = on.wish or on.set.view.wish()
    wish, by = (request.wish, request.by) if request is not None else (on.wish, "whoever watches it")
    on.wish = None
    if wish is None:
        return False
    if request is not None:
        on.note(answered=request.id)
    on.say(f"{by} asks: {wish}")
    if wish == "promote":
        ends.promote(on, (f"{by} asked for it", *on.so_far()))
    elif wish == "rollback":
        ends.roll_back(on, (f"{by} asked for it", *on.so_far()))
    elif wish == "hold":
        hold(on, f"{by} asked for it")
    else:
        release(on)
    return on.rollout.ended


def heed(on: Running) -> Callable[[], None]:
    """Return what looks, while pods are waited for, whether a rollback is asked for; other wishes can wait.

    It raises RolledBack where one is.
    """
    last = time.monotonic()

    def look() -> None:
        nonlocal last
        on.work.lease.check()
        on.wish = on.wish or on.set.view.wish()
        if on.wish != "rollback" and time.monotonic() - last < _HEED:
            return
        last = time.monotonic()
        request = on.write()
        by = request.by if request is not None and request.wish == "rollback" else None
        if by is None and on.wish == "rollback":
            by = "whoever watches it"
        if by is not None:
            on.say(f"{by} asks: rollback")
            raise RolledBack(f"{by} asked for it", where=f"namespace {on.work.namespace}")

    return look


def hold(on: Running, why: str) -> None:
    """Let weight and version stay as they are, except for a rollback."""
    on.note(held=why)
    on.write()
    on.say(f"held: {why}; only a rollback is done by itself until `mlk8s canary resume {on.name}`")
    on.tell.event("CanaryHeld", why, warning=True)


def release(on: Running) -> None:
    """Go on with the weight that is there; before the first block there is none yet."""
    if on.rollout.stage == "starting":
        on.note(held=None)
        return
    seen = on.see()
    weight = seen.weight or (on.analysis.first_weight if seen.ready else 0)  # nothing is learnt at 0
    on.note(held=None, takes_over=True)
    on.set_weight(weight, force=True)
    on.say(f"goes on with weight {on.rollout.weight}")
    on.tell.event("CanaryResumed", f"goes on with weight {on.rollout.weight} %")


def settle(on: Running) -> None:
    """Do what the last process meant to, where it was killed between writing a weight down and setting it."""
    seen, record, meant = on.see(), on.work.record, on.rollout.weight
    if record is None or seen.template is None or seen.template != on.rollout.template:
        return  # the first block deals with it
    if not serves(on, seen) or on.rollout.weight != meant:
        return
    if seen.weight == meant and record.weight != meant and on.rollout.held is None:
        on.work.write(record, weight=meant)
    elif seen.weight != meant and seen.weight == record.weight:
        try:
            on.set_weight(meant, force=meant < seen.weight or on.rollout.takes_over)
        except Conflict as error:
            on.work.lease.check()
            hold(on, error.what)


def notice(on: Running, seen: Seen) -> None:
    """Tell of a weight that somebody else set, and leave it."""
    meant = on.rollout.weight
    if seen.weight == meant:
        return
    who = f" by {seen.manager}" if seen.manager else ""
    on.note(weight=seen.weight)
    hold(on, f"the weight was set from {meant} to {seen.weight}{who}")


def blind(on: Running, cause: str) -> None:
    """Hold the weight while nothing is seen, and roll back when that lasts too long.

    Args:
        cause: the sentence that says who does not see it.
    """
    now, since, limit = on.clock.now(), on.rollout.blind_since, on.set.blind
    if since is None:
        on.note(blind_since=now)
        on.write()
        text = f"{cause}; the weight is held, and the canary rolled back after {duration_words(limit)}"
        on.say(text)
        on.tell.event("CanaryBlind", text, warning=True)
    elif now - since >= limit:
        ends.roll_back(on, (
            f"nothing was seen of it for {duration_words(now - since)}: what nobody sees gets no requests",
            cause,
        ))  # fmt: skip


def sees_again(on: Running) -> None:
    """Take note that Prometheus answers."""
    if on.rollout.blind_since is not None:
        on.say("Prometheus sees the canary again")
        on.note(blind_since=None)


def serves(on: Running, seen: Seen) -> bool:
    """Take the requests from a canary without a ready pod; return whether it serves.

    What the ingress controller answers in its place is counted by no server.
    """
    since, now = on.rollout.unready_since, on.clock.now()
    if seen.ready:
        if since is not None:
            on.note(unready_since=None)
            on.say("the canary's pods are ready again")
            if on.rollout.held is None:
                on.set_weight(on.analysis.first_weight)
        return True
    if since is None:
        on.note(unready_since=now)
        on.say("none of the canary's pods is ready: it gets no requests until one is")
        on.tell.event("CanaryUnready", "none of the canary's pods is ready: weight 0", warning=True)
        on.set_weight(0, force=True)
    elif seen.weight:  # the process that wrote it down did not get to it
        on.set_weight(0, force=True)
    elif now - since >= on.set.blind:
        ends.roll_back(on, (f"none of the canary's pods was ready for {duration_words(now - since)}",))
    return False
