"""A shadow's answers as lines of JSON, and what follows from them: judged again, they say the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mlk8s.assess.evidence.shadow import Answer, Joined, Slice, disagreement, join
from mlk8s.errors import UsageError
from mlk8s.spec.shadow import Shadow

FORMAT = "mlk8s shadow 1"
MOST_SLICES = 20
"""Slices that are tested where none are named."""
LAG = 2.0
"""Seconds that a mirrored request may come after its original; younger blocks are not judged yet."""
BODY = "body:"
"""Begins the id of a request that had none: the digest of its body."""
Verdict = Literal["agree", "differ", "waiting"]


@dataclass(frozen=True)
class Judged:
    """What the answers of both versions show at one moment.

    Attributes:
        verdict: 'differ' as soon as one slice does; 'agree' when every one does; else 'waiting'.
        slices: all requests, then each slice.
        until: second before which requests count; None counts all.
        pairs: requests that both answered.
        only_stable, only_shadow: requests that one of them answered: not mirrored, lost, or late.
        repeated: answers with an id that came before.
    """

    verdict: Verdict
    slices: tuple[Slice, ...]
    until: float | None
    pairs: int
    only_stable: int
    only_shadow: int
    repeated: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = asdict(self)
        values["slices"] = [asdict(one) for one in self.slices]
        return values

    def __str__(self) -> str:
        missing = f"; {self.only_stable:,} without the shadow's answer" if self.only_stable else ""
        decided = sum(one.verdict != "waiting" for one in self.slices)
        slices = f"; {decided} of {len(self.slices)} slices decided" if len(self.slices) > 1 else ""
        return f"{self.slices[0]}{slices}{missing}"


def judge(
    shadow: Shadow, stable: Sequence[Answer], other: Sequence[Answer], until: float | None = None
) -> Judged:
    """Return what follows from the answers before a moment.

    Args:
        until: second; None takes all answers.
    """
    joined = join(counted(stable), counted(other))
    if until is not None:
        joined = replace(joined, differ=tuple(one for one in joined.differ if one[0] < until))
    found = disagreement(
        joined, bound=shadow.bound, alpha=shadow.alpha, beta=shadow.beta, block=shadow.block,
        errors=shadow.errors, burst=shadow.burst, slices=shadow.slices or most_common(joined),
    )  # fmt: skip
    verdicts = {one.verdict for one in found}
    verdict: Verdict = "differ" if "differ" in verdicts else "agree" if verdicts == {"agree"} else "waiting"
    return Judged(
        verdict,
        tuple(found),
        until,
        len(joined.differ),
        joined.only_stable,
        joined.only_canary,
        joined.repeated,
    )


def judged_until(stable: Sequence[Answer], block: float) -> float:
    """Return the end of the last block that is over, by the stable pods' own clocks."""
    newest = max((one.at for one in stable), default=0.0)
    return (newest - LAG) // block * block


def counted(answers: Sequence[Answer]) -> list[Answer]:
    """Number the answers to requests without an id: the n-th of a body is the other version's n-th.

    The same body twice is two requests, and which of the two is meant makes no difference.
    """
    seen: Counter[str] = Counter()
    found = []
    for one in sorted(answers, key=lambda item: item.at):
        if one.request.startswith(BODY):
            seen[one.request] += 1
            one = replace(one, request=f"{one.request}#{seen[one.request]}")
        found.append(one)
    return found


def most_common(joined: Joined) -> tuple[str, ...]:
    """Return the names of the slices with most requests, in order of the alphabet."""
    count = Counter(name for _, names, _ in joined.differ for name in names)
    best = sorted(count, key=lambda name: (-count[name], name))[:MOST_SLICES]
    return tuple(sorted(best))


@dataclass(frozen=True)
class ShadowRecord:
    """What a shadow's file holds.

    Attributes:
        service, stable_model: beside what it ran.
        shadow: the version and what it had to show.
        started: second since the epoch.
        stable, other: answers of the stable version and of the shadow, in the order in which they were read.
        decided: each judgement, with the numbers of answers of both that were read before it.
    """

    service: str
    stable_model: str
    shadow: Shadow
    started: float
    stable: tuple[Answer, ...] = ()
    other: tuple[Answer, ...] = ()
    decided: tuple[tuple[int, int, dict[str, Any]], ...] = ()

    def head(self) -> str:
        """Return the file's first line, with its line end."""
        values = {"format": FORMAT, "service": self.service, "stable_model": self.stable_model,
                  "started": self.started}  # fmt: skip
        return _line(values | {"shadow": self.shadow.model_dump(mode="json", exclude_unset=True)})

    @staticmethod
    def line(of: Literal["stable", "shadow"], one: Answer) -> str:
        """Return the line of one answer, with its line end."""
        values = {"of": of, "request": one.request, "at": round(one.at, 3), "value": one.value}
        return _line(values | ({"slices": list(one.slices)} if one.slices else {}))

    @staticmethod
    def verdict_line(judged: Judged) -> str:
        """Return the line of a judgement, with its line end."""
        return _line({"judged": judged.to_dict()})

    @classmethod
    def read(cls, lines: Iterable[str]) -> ShadowRecord:
        """Read lines; a last one that was cut off is left out.

        Raises:
            UsageError: it is not such a file.
        """
        rows = list(_rows(lines))
        if not rows or rows[0].get("format") != FORMAT:
            raise UsageError("the first line is not a shadow's", expected=f"a file of {FORMAT!r}")
        head, of = rows[0], {"stable": list[Answer](), "shadow": list[Answer]()}
        decided = []
        try:
            for row in rows[1:]:
                if "judged" in row:
                    decided.append((len(of["stable"]), len(of["shadow"]), row["judged"]))
                else:
                    slices = tuple(row.get("slices") or ())
                    of[row["of"]].append(Answer(row["request"], row["value"], row["at"], slices))
            return cls(
                head["service"], head["stable_model"], Shadow(**head["shadow"]), head["started"],
                tuple(of["stable"]), tuple(of["shadow"]), tuple(decided),
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise UsageError(f"a line lacks something: {error}", expected=f"a file of {FORMAT!r}") from None

    def replay(self) -> list[Judged]:
        """Judge again on what was known at each judgement."""
        return [
            judge(self.shadow, self.stable[:first], self.other[:second], values["until"])
            for first, second, values in self.decided
        ]

    def differences(self) -> list[str]:
        """Return a sentence for each judgement that is another one now."""
        found = []
        for number, (now, (_, _, then)) in enumerate(zip(self.replay(), self.decided, strict=True), start=1):
            if json.loads(_line(now.to_dict())) != then:
                found.append(f"judgement {number}: recorded {then['verdict']}, now {now.verdict}")
        return found


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False) + "\n"


def _rows(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    waiting: str | None = None
    for number, text in enumerate(lines, start=1):
        if waiting is not None:
            raise UsageError(waiting, expected=f"a file of {FORMAT!r}")
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            waiting = f"line {number} is not JSON: {error}"  # allowed of the last line only
            continue
        if not isinstance(row, dict):
            raise UsageError(f"line {number} is no object", expected=f"a file of {FORMAT!r}")
        yield row
