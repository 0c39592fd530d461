"""Outcomes that come later: how often each version was wrong, and which of the two more often.

Which is worse is told by the requests that exactly one of them got wrong: if neither is worse, that is the
shadow in half of them (McNemar's comparison, with the same anytime-valid test as everything else here).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mlk8s.assess.evidence.shadow import Answer, Joined, Slice, disagreement, labelled
from mlk8s.assess.evidence.shadow_record import BODY, ShadowRecord, counted, most_common
from mlk8s.errors import UsageError

Worse = Literal["shadow", "stable", "not told"]
_EVEN = 0.5
_WORSE: Mapping[str, Worse] = {"differ": "shadow", "agree": "stable", "waiting": "not told"}
_FIELDS = ("request", "outcome")


@dataclass(frozen=True)
class Compared:
    """Both versions against the outcomes in one slice.

    Attributes:
        name: 'all', or the slice's.
        stable, shadow: wrong predictions of each, with their interval and the verdict on `bound`.
        one_wrong: requests that exactly one of them got wrong; `different` counts the shadow's.
        worse: which is wrong more often.
    """

    name: str
    stable: Slice
    shadow: Slice
    one_wrong: Slice
    worse: Worse

    def __str__(self) -> str:
        both = ", ".join(
            f"{who} {one.different:,} of {one.requests:,} wrong "
            f"({100 * one.low:.3g} to {100 * one.high:.3g} %)"
            for who, one in (("stable", self.stable), ("shadow", self.shadow))
        )
        word = "not enough outcomes to tell" if self.worse == "not told" else f"{self.worse} is worse"
        return f"{self.name}: {both}: {word}"


@dataclass(frozen=True)
class Outcomes:
    """What the outcomes say.

    Attributes:
        slices: all requests, then each slice.
        known: requests whose outcome is known and that both versions answered.
        waiting: requests of the stable version without an outcome yet.
        unknown: outcomes of requests that nobody recorded.
    """

    slices: tuple[Compared, ...]
    known: int
    waiting: int
    unknown: int

    @property
    def worse(self) -> Worse:
        """Which version is worse over all requests."""
        return self.slices[0].worse

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"worse": self.worse}


def compare(record: ShadowRecord, outcomes: Mapping[str, Hashable], *, bound: float = 0.05) -> Outcomes:
    """Test both versions' recorded predictions against what came out.

    Args:
        outcomes: by request id.
        bound: largest accepted share of wrong predictions, above 0 and below 1.
    """
    stable, other = _plain(record.stable), _plain(record.other)
    pair = labelled(stable, outcomes), labelled(other, outcomes)
    one = _one_wrong(stable, other, outcomes)
    spec = record.shadow
    slices = spec.slices or most_common(pair[0])
    share = spec.alpha / (1 + len(slices))
    tested = [
        disagreement(joined, bound=limit, alpha=spec.alpha, beta=share if joined is one else spec.beta,
                     block=spec.block, errors=spec.errors, burst=spec.burst, slices=slices)
        for joined, limit in ((pair[0], bound), (pair[1], bound), (one, _EVEN))
    ]  # fmt: skip
    found = tuple(
        Compared(first.name, first, second, third, _WORSE[third.verdict])
        for first, second, third in zip(*tested, strict=True)
    )
    return Outcomes(found, len(pair[1].differ), pair[0].only_stable, pair[0].only_canary)


def read_outcomes(text: str) -> dict[str, Hashable]:
    """Read CSV with the columns `request` and `outcome`, or JSON lines with these fields.

    Raises:
        UsageError: it is neither; names the line.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    rows: Iterable[tuple[int, Mapping[str, Any]]]
    if first.lstrip().startswith("{"):
        rows = [(number, _object(number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        reader = csv.DictReader(lines)
        if not {*_FIELDS} <= {*(reader.fieldnames or ())}:
            raise UsageError(
                f"the first line is {first[:80]!r}",
                expected="the columns request,outcome, or JSON lines with these fields",
            )
        rows = [(reader.line_num, {**row, "outcome": _parsed(row["outcome"])}) for row in reader]
    found: dict[str, Hashable] = {}
    for number, row in rows:
        if row.get("request") in (None, "") or row.get("outcome") is None:
            raise UsageError(f"line {number} has no request or no outcome", expected="both, in each line")
        found[str(row["request"])] = _comparable(row["outcome"])
    return found


def _object(number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"line {number} is not JSON: {error}", expected="an object a line") from None
    if not isinstance(row, dict):
        raise UsageError(f"line {number} is no object", expected='{"request": "...", "outcome": ...}')
    return row


def _plain(answers: Iterable[Answer]) -> list[Answer]:
    """Return answers whose values can be compared with outcomes: numbers and words instead of JSON's text."""
    known = [one for one in answers if not one.request.startswith(BODY)]
    return [replace(one, value=_comparable(_parsed(str(one.value)))) for one in counted(known)]


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return text


def _comparable(value: Any) -> Hashable:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _one_wrong(stable: list[Answer], other: list[Answer], outcomes: Mapping[str, Hashable]) -> Joined:
    """Return the requests that exactly one version got wrong; what 'differs' is that it was the shadow."""
    first = {one.request: one for one in reversed(stable)}
    second = {one.request: one for one in reversed(other)}
    found = []
    for key in first.keys() & second.keys() & outcomes.keys():
        wrong = first[key].value != outcomes[key], second[key].value != outcomes[key]
        if wrong[0] != wrong[1]:
            found.append((first[key].at, key, first[key].slices or second[key].slices, wrong[1]))
    return Joined(tuple((at, slices, bad) for at, _, slices, bad in sorted(found)), 0, 0, 0)
