"""How a rollout ends: promotion, rollback that is tried again, the deadline."""

from __future__ import annotations

import time

from mlk8s.assess.evidence import Decision
from mlk8s.errors import ClusterError, Mlk8sError, RolloutFailed, Unreachable, WaitTimeout
from mlk8s.operations.canary import finish, undo
from mlk8s.operations.canary_running import Running

_ATTEMPTS = 5


def promote(on: Running, why: tuple[str, ...]) -> None:
    """Give all requests to the canary's version; where its pods do not become ready, roll back.

    What has no ready pod is not promoted: it is analysed further.
    """
    record = on.work.record
    if record is None and not _arrived(on):
        return
    if record is not None and record.phase == "running" and not on.see().ready:
        on.say("not promoted: none of the canary's pods is ready")
        if on.rollout.stage == "promoting":
            on.note(stage="analysing")
        return
    on.note(stage="promoting", why=tuple(why))
    on.write()
    on.tell_verdict("promote")
    on.say(f"promote: {'; '.join(why)}")
    if record is not None:  # else all of it was done before this process
        try:
            finish(on.work, on.set.timeout)
        except (RolloutFailed, WaitTimeout) as error:
            on.say(f"the promotion failed: {error}")
            roll_back(on, (f"the promotion failed: {error.what}",))
            return
    end(on, "promoted", why)


def _arrived(on: Running) -> bool:
    """Whether the service has the canary's version by now; without that, somebody removed it, and it ends."""
    if on.work.stable.model == on.rollout.model:
        return True
    end(on, "failed", ("the canary's record is gone: somebody removed it",))
    return False


def roll_back(on: Running, why: tuple[str, ...], outcome: str = "rolled back") -> None:
    """Take the requests from the canary, then the canary.

    Raises:
        ClusterError: it could not be done.
    """
    first = on.rollout.stage != "rolling-back"
    on.note(stage="rolling-back", weight=0, why=tuple(why), outcome=outcome)
    on.write()
    if first and outcome != "inconclusive":
        on.tell_verdict("rollback")
    on.say(f"roll back: {'; '.join(why)}")
    take_back(on)
    end(on, outcome, why)


def make_way(on: Running, *, written: bool) -> None:
    """Take back what is left of another rollout, and write down that this is done where that is `written`.

    Raises:
        ClusterError: it could not be done.
    """
    if written:
        why = ("another rollout was started, and nobody worked on this one",)
        on.note(stage="rolling-back", weight=0, why=why, outcome="rolled back", held=None)
        on.write()
    take_back(on)


def take_back(on: Running) -> None:
    """Take the canary back; what fails is tried again, and told each time.

    Raises:
        ClusterError: it failed each time.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            undo(on.work, on.set.timeout)
            break
        except Unreachable:
            raise
        except Mlk8sError as error:
            on.work.lease.check()
            text = f"ROLLBACK FAILED (attempt {attempt} of {_ATTEMPTS}): {error.what}"
            on.say(text)
            on.say(f"by hand: {on.by_hand()}")
            on.tell.event("CanaryRollbackFailed", text, warning=True)
            if attempt == _ATTEMPTS:
                raise ClusterError(
                    f"the canary of {on.name} could not be rolled back: {error.what}",
                    where=error.where,
                    expected="weight 0, then no canary",
                    next_step=f"{on.by_hand()}; then `mlk8s canary rollback {on.name}`",
                ) from error
            time.sleep(2.0 ** (attempt - 1))


def deadline(on: Running, decision: Decision) -> None:
    """Do what the user chose for the case that time is up; what nobody sees is not promoted."""
    on.tell_verdict("inconclusive")
    blind = on.rollout.blind_since is not None
    if decision.action == "promote" and on.rollout.held is None and not blind:
        promote(on, decision.reasons)
    elif decision.action == "rollback" or blind:
        roll_back(on, decision.reasons, "inconclusive")
    else:
        end(on, "inconclusive", decision.reasons)


def end(on: Running, outcome: str, why: tuple[str, ...]) -> None:
    """Write down and tell how it ended."""
    stays = outcome == "inconclusive" and on.rollout.stage == "analysing"
    weight = on.rollout.weight if stays else 0
    on.note(stage="ended", outcome=outcome, why=tuple(why), weight=weight, held=None)
    on.write()
    on.tell.weight(weight)
    reason = "Canary" + "".join(word.capitalize() for word in outcome.split())
    text = f"{on.rollout.model} {outcome}: {'; '.join(why)}"
    on.tell.event(reason, text, warning=outcome != "promoted")
