"""A canary that answers nobody: its predictions beside the stable version's, and outcomes that come later.

Both versions got the same request. Whether they agree is a bit a request, tested like a failure: "they differ
in at most `bound` of the requests", overall and in each slice (a country, a device, a class).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log, log10
from typing import Any, Literal

import numpy as np

from mlk8s.assess.evidence import kernel
from mlk8s.assess.evidence.intervals import interval
from mlk8s.spec.analysis import Errors

ALL = "all"
"""Name of the slice of all requests."""


@dataclass(frozen=True)
class Answer:
    """One version's answer to one request.

    Attributes:
        request: id that both versions' answers carry (the protocol's `id`, or X-Request-Id).
        value: prediction, compared as it is; round numbers before.
        at: second since the epoch.
        slices: names of the groups that the request belongs to.
    """

    request: str
    value: Hashable
    at: float
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """Pairs of answers by request id.

    Attributes:
        differ: (second, slices, whether both differ) of each request that both answered, in order of time.
        only_stable, only_canary: requests that one of them answered: mirrored ones that were lost, or late.
        repeated: answers with an id that came before; the first one counts.
    """

    differ: tuple[tuple[float, tuple[str, ...], bool], ...]
    only_stable: int
    only_canary: int
    repeated: int


@dataclass(frozen=True)
class Slice:
    """What is known of one slice.

    Attributes:
        name: 'all', or the slice's.
        verdict: 'differ' (in more than the bound), 'agree' (in at most the bound), or 'waiting'.
        different, requests: counted.
        low, high: confidence sequence of the share that differs.
        against, within: log10 e-values for "more than the bound" and "at most the bound".
        line_against, line_within: their decision lines.
    """

    name: str
    verdict: Literal["differ", "agree", "waiting"]
    different: int
    requests: int
    low: float
    high: float
    against: float
    within: float
    line_against: float
    line_within: float

    def __str__(self) -> str:
        word = {
            "differ": "differ in more than the bound",
            "agree": "agree",
            "waiting": "not enough requests to tell",
        }
        share = f"{100 * self.low:.3g} to {100 * self.high:.3g} %"
        return f"{self.name}: {self.different:,} of {self.requests:,} differ ({share}): {word[self.verdict]}"


def join(stable: Iterable[Answer], canary: Iterable[Answer]) -> Joined:
    """Pair answers by their request ids; order and delays do not matter."""
    first, again = _by_id(stable)
    second, twice = _by_id(canary)
    both = sorted((first[key].at, key) for key in first.keys() & second.keys())
    differ = tuple(
        (at, first[key].slices or second[key].slices, first[key].value != second[key].value)
        for at, key in both
    )
    return Joined(differ, len(first) - len(both), len(second) - len(both), again + twice)


def labelled(predictions: Iterable[Answer], outcomes: Mapping[str, Hashable]) -> Joined:
    """Pair predictions with outcomes that came later, by request id: what differs is a wrong prediction.

    Requests without an outcome yet are counted in `only_stable`.
    """
    known, again = _by_id(predictions)
    both = sorted((known[key].at, key) for key in known.keys() & outcomes.keys())
    differ = tuple((at, known[key].slices, known[key].value != outcomes[key]) for at, key in both)
    return Joined(differ, len(known) - len(both), len(outcomes.keys() - known.keys()), again)


def disagreement(
    joined: Joined,
    *,
    bound: float,
    alpha: float = 0.01,
    beta: float = 0.01,
    block: float = 10.0,
    errors: Errors = "adaptive",
    burst: int | None = None,
    slices: Sequence[str] | None = None,
) -> list[Slice]:
    """Test "at most `bound` of the requests differ", overall and by slice; all requests first.

    Args:
        bound: largest accepted share, above 0 and below 1.
        slices: names of those to test, whether or not a request has them; None means every one that is there.
        alpha: probability of any wrong 'differ', over all slices; split evenly.
        beta: probability of a wrong 'agree' of one slice.
        block: seconds: requests in one block are not taken for independent, as in Analysis.errors.
    """
    if slices is None:
        slices = sorted({name for _, names, _ in joined.differ for name in names})
    names = [ALL, *slices]
    index = {name: number for number, name in enumerate(names)}
    setup = kernel.setup_of([bound] * len(names), [0.0] * len(names), errors, burst, 1_000)
    sums = kernel.empty((len(names),))
    none = np.zeros(len(names))
    for bad, all_ in _blocks(joined, index, block):
        sums = kernel.add(sums, setup, bad, all_, none, none)
    size, _ = kernel.burst(sums, setup)
    lines = log(len(names) / alpha), log(1 / beta)
    against, within = kernel.worse(sums, size), kernel.within(sums, size)
    found = []
    for number, name in enumerate(names):
        trials = float(sums.trials[0][number] / size[number]), float(sums.trials[1][number] / size[number])
        low, high = interval(*trials, alpha / len(names))
        verdict: Any = (
            "differ" if against[number] >= lines[0] else "agree" if within[number] >= lines[1] else "waiting"
        )
        counts = int(sums.counts[0][number]), int(sums.counts[1][number])
        logs = float(against[number] / log(10)), float(within[number] / log(10))
        found.append(
            Slice(name, verdict, *counts, low, high, *logs, log10(len(names) / alpha), log10(1 / beta))
        )
    return found


def _blocks(joined: Joined, index: Mapping[str, int], block: float) -> Iterable[tuple[Any, Any]]:
    """Yield (different, all) by slice for each block of time that has requests."""
    now: float | None = None
    bad, all_ = np.zeros(len(index)), np.zeros(len(index))
    for at, slices, different in joined.differ:
        if now is not None and at // block != now:
            yield bad, all_
            bad, all_ = np.zeros(len(index)), np.zeros(len(index))
        now = at // block
        for name in {ALL, *slices} & index.keys():
            all_[index[name]] += 1
            bad[index[name]] += different
    if now is not None:
        yield bad, all_


def _by_id(answers: Iterable[Answer]) -> tuple[dict[str, Answer], int]:
    found: dict[str, Answer] = {}
    repeated = 0
    for answer in answers:
        if answer.request in found:
            repeated += 1
        else:
            found[answer.request] = answer
    return found, repeated
