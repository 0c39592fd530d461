"""A shadow: copies of the requests to a version that answers nobody, and both versions' answers compared.

The order of the steps keeps the users' answers what they are: the shadow's pods are ready before the first
copy, and no copy is made any more before they go. What a process that was killed leaves is written down on
the stable Deployment; `stop` removes it, and so does the next run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mlk8s.assess.evidence.shadow_record import (
    LAG,
    Judged,
    ShadowRecord,
    Verdict,
    judge,
    judged_until,
)
from mlk8s.clients.clock import Clock, utc
from mlk8s.errors import Conflict, Mlk8sError, RolledBack, Unreachable, UsageError
from mlk8s.operations import shadow_state, shadow_work
from mlk8s.operations.canary import working
from mlk8s.operations.canary_look import KINDS
from mlk8s.operations.canary_work import CanaryWork
from mlk8s.operations.deploy import MIRROR
from mlk8s.operations.preflight import require_permissions
from mlk8s.operations.service import Service
from mlk8s.operations.shadow_answers import Answers
from mlk8s.spec.shadow import Shadow

__all__ = ["FILE", "ShadowResult", "run", "stop"]

FILE = "shadow.jsonl"
Say = Callable[[str], None]


@dataclass(frozen=True)
class ShadowResult:
    """How a shadow ended.

    Attributes:
        service, model: what was compared.
        judged: the last judgement: a verdict for all requests and for each slice, with numbers.
        lost: answers that the pods gave up before they were read.
        directory: of shadow.jsonl, which `mlk8s canary replay` and `mlk8s canary outcomes` take.
        seconds: that requests were copied.
        kept: whether it goes on: copies are made, and nobody reads the answers.
    """

    service: str
    model: str
    judged: Judged
    lost: int
    directory: Path
    seconds: float
    kept: bool

    @property
    def verdict(self) -> Verdict:
        """'agree', 'differ', or 'waiting': not decided."""
        return self.judged.verdict

    def __str__(self) -> str:
        judged = self.judged
        lines = [f"{self.service}: {self.model}: {judged.verdict}", *(f"  {one}" for one in judged.slices)]
        if judged.only_stable:
            lines.append(f"  {judged.only_stable:,} answers of the stable version have none of the shadow's")
        if self.lost:
            lines.append(f"  {self.lost:,} answers were lost before they were read")
        return "\n".join([*lines, f"  answers: {self.directory / FILE}"])


def run(
    service: Service,
    shadow: Shadow,
    *,
    directory: str | os.PathLike[str] | None = None,
    keep: bool = False,
    timeout: float = 180.0,
    say: Say = print,
) -> ShadowResult:
    """Copy a service's predictions to another version until both are known to agree or to differ.

    Args:
        directory: new or empty, for the answers; None makes one under ./runs.
        keep: leave the shadow and the copies after the verdict.
        timeout: seconds until its pods must be ready.

    Returns:
        The verdict; 'differ' is no error.

    Raises:
        NotFound: no such service, or its pods are of a version that keeps no answers.
        Conflict: a canary runs, another process works on it, or a name is taken.
        UsageError: its requests cannot be copied; says why.
        Rejected: nothing in the cluster mirrors requests, or a quota leaves no room.
        RolledBack: its pods never became ready; no request was copied, and it was removed.
    """
    require_permissions(service.cluster, service.namespace, ("Lease", *MIRROR, *KINDS), ("Pod", "ReplicaSet"))
    with working(service, "canary shadow", say) as work:
        shadow = shadow_work.require(work, shadow)
        if shadow_work.remove(work):
            say(f"{service.name}: a shadow that was left behind is removed")
        clock = Clock()
        place = _place(directory, service.name, clock)
        with (place / FILE).open("w", encoding="utf-8") as file:
            try:
                judged, lost, seconds = _compare(work, shadow, file, clock, timeout, keep)
            except BaseException:
                _take_away(work)
                raise
        if not keep:
            _take_away(work)
    return ShadowResult(service.name, shadow.model, judged, lost, place, round(seconds, 1), keep)


def stop(service: Service, *, say: Say = print) -> bool:
    """Remove a shadow, whoever left it; return whether there was one.

    Raises:
        NotFound: no such service.
        Conflict: another process works on it.
    """
    with working(service, "canary shadow --stop", say) as work:
        gone = shadow_work.remove(work)
    say(f"{service.name}: the shadow is gone" if gone else f"{service.name}: there is no shadow")
    return gone


def _compare(
    work: CanaryWork, shadow: Shadow, file: TextIO, clock: Clock, timeout: float, keep: bool
) -> tuple[Judged, int, float]:
    """Start the shadow, copy requests, and judge block by block; leaves everything as it is."""
    cluster, name, namespace, say = work.cluster, work.name, work.namespace, work.say
    state = shadow_state.begin(cluster, name, namespace, shadow.model, shadow.percent)
    answers = Answers(cluster, name, namespace, shadow, file, say)
    try:
        _start(work, shadow, timeout)
        answers.begin()
        began = clock.now()
        file.write(ShadowRecord(name, work.stable.model, shadow, round(began, 3)).head())
        shadow_state.turn(cluster, name, namespace, state, "mirroring")
        shadow_work.mirror_on(work, shadow)
        clock.sleep_until(clock.now() + shadow_work.FOLLOWS)
        answers.skip()
        say(f"{name}: {shadow.percent} % of the predictions are copied to {shadow.model}")
        judged = _blocks(work, shadow, answers, file, clock)
        ended = clock.now()
        if judged.verdict == "waiting":  # what the last, unfinished block holds counts, too
            if not keep:
                shadow_work.mirror_off(work)
            clock.sleep_until(clock.now() + LAG)
            _collect(answers, work)
            judged = judge(shadow, answers.of["stable"], answers.of["shadow"])
            file.write(ShadowRecord.verdict_line(judged))
    finally:
        answers.close()
    return judged, answers.lost, ended - began


def _blocks(work: CanaryWork, shadow: Shadow, answers: Answers, file: TextIO, clock: Clock) -> Judged:
    """Read and judge once a block until it is decided or time is up."""
    end = clock.now() + shadow.deadline
    while True:
        clock.sleep_until(min(end, clock.now() + shadow.block))
        work.lease.check()
        _collect(answers, work)
        stable, other = answers.of["stable"], answers.of["shadow"]
        judged = judge(shadow, stable, other, judged_until(stable, shadow.block))
        file.write(ShadowRecord.verdict_line(judged))
        file.flush()
        work.say(f"{work.name}: {judged}")
        if judged.verdict != "waiting" or clock.now() >= end:
            return judged


def _collect(answers: Answers, work: CanaryWork) -> None:
    """Read all pods; an API server that is away for a block is told, and asked again in the next."""
    try:
        read = answers.collect()
    except Unreachable as error:
        work.say(f"{work.name}: the API server does not answer: {error.what}")
        return
    if not read["shadow"]:
        work.say(f"{work.name}: no pod of the shadow answers; the users' answers do not depend on it")


def _start(work: CanaryWork, shadow: Shadow, timeout: float) -> None:
    try:
        shadow_work.start(work, shadow, timeout)
    except (Conflict, Unreachable):
        raise  # somebody else works on it now, or nothing can be removed
    except Mlk8sError as error:
        raise RolledBack(
            f"the shadow of {work.name} never became ready: {error.what}",
            where=error.where,
            expected=error.expected,
            next_step=error.next_step or "no request was copied to it; it is removed",
        ) from error


def _take_away(work: CanaryWork) -> None:
    """Remove the shadow; where that fails, say what is left and how to go on."""
    try:
        if shadow_work.remove(work):
            work.say(f"{work.name}: the shadow is gone")
    except Mlk8sError as error:
        work.say(
            f"{work.name}: the shadow is still there ({error.what}); "
            f"`mlk8s canary shadow {work.name} --stop` removes it"
        )


def _place(directory: str | os.PathLike[str] | None, name: str, clock: Clock) -> Path:
    stamp = utc(clock.now())[:19].replace(":", "").replace("-", "")
    place = Path(directory) if directory is not None else Path("runs") / f"{name}-shadow-{stamp}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the directory: {error.strerror}", where=str(place)) from None
    if (place / FILE).exists():
        raise UsageError(f"there is a {FILE} already", where=str(place), expected="a new directory")
    return place.resolve()
