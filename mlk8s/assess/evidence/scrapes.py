"""Prometheus' cumulative samples → counts a block: resets, restarts, gaps, late and stale series are told.

A counter says what happened up to its scrape. What it grew from one scrape to the next is counted in the
block in which the later scrape is read: nothing is interpolated, nothing counted twice, and a late
scrape is counted late, not lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isinf, isnan
from typing import Any, Literal

from mlk8s.assess.evidence.blocks import Block, Counts
from mlk8s.errors import SpecError
from mlk8s.series import REQUEST_BUCKETS, REQUESTS
from mlk8s.spec.load import Slo

Version = Literal["canary", "stable"]
VersionOf = Callable[[Mapping[str, str]], Version | None]
"""Tells by a series' labels whose it is; None for one that belongs to neither."""
ErrorOf = Callable[[Mapping[str, str]], bool]

Point = tuple[float, float]
_COUNT, _BUCKET = f"{REQUESTS}_count", f"{REQUESTS}_bucket"
UNANSWERED = "ingress_unanswered"
"""Name of a series of requests that the ingress controller answered itself, for want of a server's answer."""
_COUNTED = (_COUNT, _BUCKET, UNANSWERED)
_PODS = ("pod", "instance")
_SHOWN = 5
"""Pods that a note names."""
_SKEW = 5.0
"""Seconds by which the clocks of Prometheus' node and of a pod's may differ."""


@dataclass(frozen=True)
class Series:
    """One series of the request histogram as a range selector, `NAME_bucket{...}[1m]`, returns it.

    Attributes:
        labels: with `__name__` (NAME_bucket or NAME_count), `le` of a bucket, `code`, `pod` or `instance`.
            Series of other names count nothing, but show that the pod was scraped: one without requests has
            no histogram yet (`requests_in_flight_seconds_total` is always there). `ingress_unanswered` are
            failed requests that no server counted: known also where the version was not scraped.
        points: raw samples, (second since the epoch, cumulative value), ascending.
    """

    labels: Mapping[str, str]
    points: Sequence[Point]


@dataclass(frozen=True)
class Cursor:
    """How far each series was read: its last sample. Opaque; JSON by `to_dict`.

    Attributes:
        last: (second, value) of each series by its labels.
        at: second up to which was read.
        whole: whether the last read had anything: after one without, a new pod may be an old one.
    """

    last: Mapping[str, Point] = field(default_factory=dict)
    at: float = -inf
    whole: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        points = {key: list(point) for key, point in self.last.items()}
        return {"last": points, "at": self.at if isfinite(self.at) else None, "whole": self.whole}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cursor:
        """Make it of what `to_dict` returned."""
        last = {key: (point[0], point[1]) for key, point in values["last"].items()}
        at = values.get("at")
        return cls(last, -inf if at is None else at, values.get("whole", True))


def is_error(labels: Mapping[str, str]) -> bool:
    """Tell whether a series counts requests without a right answer: status 500 and above."""
    return labels.get("code", "")[:1] == "5"


def slo_edges(
    slo: Slo, buckets: Sequence[float] = REQUEST_BUCKETS
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the histogram's edge in seconds for each latency bound, and a note where it is another.

    A bound between two edges is counted at the lower one: a version can only look slower than it is.

    Raises:
        SpecError: a bound lies below the first edge: the histogram cannot tell.
    """
    edges, notes = {}, []
    for name, bound in slo.latency.items():
        fitting = [edge for edge in buckets if edge <= bound * (1 + 1e-9)]
        if not fitting:
            raise SpecError(
                f"slo.{name} is {1000 * bound:.4g} ms, below the histogram's first bucket",
                where=f"Slo.{name}",
                expected=f"{1000 * min(buckets):.4g} ms or more",
            )
        edges[name] = max(fitting)
        if bound - edges[name] > 1e-9 * bound:
            notes.append(
                f"{name}: {1000 * bound:.4g} ms is no edge of the histogram; requests above "
                f"{1000 * edges[name]:.4g} ms count as slow"
            )
    return edges, tuple(notes)


def read_block(
    cursor: Cursor | None,
    series: Sequence[Series],
    *,
    start: float,
    seconds: float,
    weight: int,
    version_of: VersionOf,
    edges: Mapping[str, float],
    error_of: ErrorOf = is_error,
    started: Mapping[str, float] | None = None,
) -> tuple[Cursor, Block]:
    """Return the cursor for the next block, and what was counted since the last one up to `start + seconds`.

    Args:
        cursor: from the block before; None for the first read, which only takes the counters' values as zero.
        series: raw samples; those after the block's end are left for the next.
        start, seconds: the block, in seconds since the epoch.
        weight: percent that the canary had.
        version_of: whose a series is.
        edges: by percentile, the bucket's edge in seconds at which a request is slow.
        error_of: whether a series' requests had no right answer.
        started: second since the epoch at which each pod's process started, where it is known: says of a pod
            that was never read whether its counters began at zero since the last read.
    """
    end = start + seconds
    reader = _Reader(cursor, start, end, version_of, edges, error_of, started or {})
    for one in series:
        reader.take(one)
    return reader.cursor(), reader.block(seconds, weight)


def read_blocks(
    series: Sequence[Series],
    *,
    start: float,
    end: float,
    seconds: float,
    weight: int,
    version_of: VersionOf,
    edges: Mapping[str, float],
    error_of: ErrorOf = is_error,
) -> list[Block]:
    """Return the blocks of a recorded range, read one after the other as `read_block` does; the first sample
    of each series up to `start` counts as zero."""
    options: dict[str, Any] = {
        "weight": weight,
        "version_of": version_of,
        "edges": edges,
        "error_of": error_of,
    }
    cursor, _ = read_block(None, series, start=start, seconds=0.0, **options)
    blocks = []
    number = 0
    while start + (number + 1) * seconds <= end + 1e-6:
        cursor, block = read_block(cursor, series, start=start + number * seconds, seconds=seconds, **options)
        blocks.append(block)
        number += 1
    return blocks


class _Reader:
    """Gathers one block."""

    def __init__(
        self,
        cursor: Cursor | None,
        start: float,
        end: float,
        version_of: VersionOf,
        edges: Mapping[str, float],
        error_of: ErrorOf,
        started: Mapping[str, float],
    ) -> None:
        self._first = cursor is None
        self._before = cursor or Cursor()
        self._start, self._end = start, end
        self._version_of, self._edges, self._error_of, self._started = version_of, edges, error_of, started
        self._last: dict[str, Point] = dict(self._before.last)
        self._pods_before = {_pod_of(key) for key in self._before.last}
        # by version: requests, errors, right answers, and right answers up to each percentile's edge
        self._sums: dict[Version, dict[str, float]] = {
            "canary": defaultdict(float),
            "stable": defaultdict(float),
        }
        self._buckets: dict[Version, dict[float, float]] = {
            "canary": defaultdict(float),
            "stable": defaultdict(float),
        }
        self._fresh: set[Version] = set()
        self._seen: dict[str, float] = {}  # newest sample by pod
        self._version: dict[str, Version] = {}
        self._edges_read: set[float] = set()
        self._told: dict[str, set[str]] = defaultdict(set)
        self._keys: dict[str, Version] = {}  # series of the model servers' own counters
        self._unanswered: dict[Version, float] = defaultdict(float)
        # What is no count, and what fell without a restart: where a part is unknown, nothing is judged.
        self._no_count: dict[Version, set[str]] = defaultdict(set)
        self._fell: dict[Version, set[str]] = defaultdict(set)

    def take(self, one: Series) -> None:
        version = self._version_of(one.labels)
        name = one.labels.get("__name__", "")
        if version is None:
            return
        key, pod = _key(one.labels), _pod(one.labels)
        if name == _BUCKET:
            self._edges_read.add(float(one.labels.get("le", "inf")))
        self._version[pod] = version
        if name in (_COUNT, _BUCKET):
            self._keys[key] = version
        points = self._usable(one, version, pod, self._before.last.get(key))
        if not points:
            return
        self._seen[pod] = max(self._seen.get(pod, -inf), points[-1][0])
        if not name.startswith("ingress_"):
            self._fresh.add(version)
        self._last[key] = points[-1]
        if name not in _COUNTED:
            return
        grown = self._grown(one, version, pod, points)
        if grown:
            self._count(version, one.labels, name, grown)

    def _usable(self, one: Series, version: Version, pod: str, last: Point | None) -> list[Point]:
        since = last[0] if last else -inf
        found: list[Point] = []
        no_count = ""  # the newest sample, where it is none
        for at, value in one.points:
            if not since < at <= self._end + 1e-6:
                continue
            if not _is_count(value):
                if at > self._before.at:  # else it was told, or is of a pod that was there before
                    no_count = f"{_metric(one.labels)} is {_value(value)}"
                continue
            if found and at <= found[-1][0]:
                self._told["a sample that was out of order was left out"].add(pod)
                continue
            if last and at < self._start - 1e-6 and at <= self._before.at:
                self._told["a scrape came late and is counted now"].add(pod)
            found.append((at, value))
            if no_count:  # the growth up to this one has what was left out
                self._told[f"{no_count} in a scrape that was left out"].add(pod)
                no_count = ""
        if no_count and not self._first and one.labels.get("__name__") in _COUNTED:
            self._no_count[version].add(f"{pod}: {no_count}")
        return found

    def _grown(self, one: Series, version: Version, pod: str, points: list[Point]) -> float:
        """Return by how much a counter grew over the points; after a reset it began at zero."""
        last = self._before.last.get(_key(one.labels))
        grown = 0.0
        if last is None:
            if self._first:
                return 0.0
            value = points[0][1] if not self._was_no_count(one) and self._from_zero(pod) else 0.0
            grown, last = value, points[0]
            points = points[1:]
        for point in points:
            if point[1] < last[1]:
                if self._restarted(pod, last[0]):
                    self._told[
                        "a counter began again (restart): requests after the last scrape before it are lost"
                    ].add(pod)
                else:
                    self._fell[version].add(f"{pod}: {_metric(one.labels)} fell without a restart")
                grown += point[1]
            else:
                grown += point[1] - last[1]
            last = point
        return grown

    def _was_no_count(self, one: Series) -> bool:
        """Tell whether a series that was never read was there before, as no count: it counts from now on."""
        born = self._started.get(_pod(one.labels), -inf)
        return any(born < at <= self._before.at and not _is_count(value) for at, value in one.points)

    def _restarted(self, pod: str, last: float) -> bool:
        """Tell whether a pod's process started after its last sample, or nothing is known of that."""
        born = self._started.get(pod, inf)
        return not born < last - _SKEW

    def _from_zero(self, pod: str) -> bool:
        """Tell whether a series that was never read counts from zero: a new answer of a known pod, or a pod
        that started since the last read."""
        if pod in self._pods_before:
            return True
        born = self._started.get(pod)
        new = self._before.whole if born is None else born >= self._before.at - 1e-6
        text = (
            "appeared: counted from its start" if new else "appeared, but may be older: counted from now on"
        )
        self._told[text].add(pod)
        return new

    def _count(self, version: Version, labels: Mapping[str, str], name: str, grown: float) -> None:
        sums, wrong = self._sums[version], name == UNANSWERED or self._error_of(labels)
        if name == UNANSWERED:
            self._told[f"{round(grown):,} requests of {version} had no answer but the controller's"].add("")
            self._unanswered[version] += grown
        if name in (_COUNT, UNANSWERED):
            sums["requests"] += grown
            sums["errors" if wrong else "right"] += grown
            return
        if wrong:
            return
        edge = float(labels.get("le", "inf"))
        self._buckets[version][edge] += grown
        for percentile, bound in self._edges.items():
            if abs(edge - bound) <= 1e-9 * bound:
                sums[percentile] += grown

    def block(self, seconds: float, weight: int) -> Block:
        notes = [
            f"{_named(pods)}: {text}" if pods != {""} else text for text, pods in sorted(self._told.items())
        ]
        stale = {pod for pod in self._pods_before if pod and pod not in self._seen and self._known(pod)}
        if stale:
            notes.append(f"{_named(stale)}: no scrape in this block")
        cause = "" if self._first else self._unknown("canary")
        missing = bool(cause) and not self._unanswered["canary"]
        if missing:
            notes.append(f"{cause}: the block only lets time go by")
        elif cause:
            notes.append(f"{cause}: only what the controller answered is known")
        other = "" if self._first else self._unknown("stable")
        if other and not missing:
            notes.append(f"{other}: the canary is not compared")
        counts = {
            "canary": self._only_unanswered("canary") if cause else self._counts("canary", notes),
            "stable": self._only_unanswered("stable") if other else self._counts("stable", notes),
        }
        return Block(
            self._start, seconds, weight, counts["canary"], counts["stable"], tuple(notes), missing,
            cause if missing else "",
        )  # fmt: skip

    def _unknown(self, version: Version) -> str:
        """Return why a version's requests in this block are not known; empty where they are."""
        wrong = self._no_count[version] or self._fell[version]
        if wrong:
            return _named(wrong)
        if version in self._fresh:
            return ""
        unseen = {pod for pod in self._pods_before if pod and self._version_of({"pod": pod}) == version}
        words = "the canary's pods" if version == "canary" else "the stable version's pods"
        return f"Prometheus has no samples of {words}" + (f" ({_named(unseen)})" if unseen else "")

    def _only_unanswered(self, version: Version) -> Counts:
        requests = round(self._unanswered[version])
        return Counts(requests, requests, dict.fromkeys(self._edges, 0))

    def cursor(self) -> Cursor:
        """Return how far was read; a version of which a part was no count is read again with the next."""
        kept = {key for key, version in self._keys.items() if self._no_count[version]}
        last = {key: point for key, point in self._last.items() if key not in kept}
        last |= {key: point for key, point in self._before.last.items() if key in kept}
        return Cursor(last, max(self._before.at, self._end), bool(self._fresh))

    def _known(self, pod: str) -> bool:
        newest = max((point[0] for key, point in self._last.items() if _pod_of(key) == pod), default=-inf)
        return self._end - newest < 10 * max(
            1.0, self._end - self._start
        )  # an old pod's end is told ten blocks long

    def _counts(self, version: Version, notes: list[str]) -> Counts:
        sums = self._sums[version]
        requests, errors = round(sums["requests"]), round(sums["errors"])
        right = requests - errors
        slow = {}
        for name in self._edges:
            above = right - round(sums[name])
            if above < 0:  # a bucket was scraped that its count was not
                notes.append(
                    f"{version}: more requests in the bucket of {name} than were counted; taken as none slow"
                )
            slow[name] = min(max(above, 0), right)
        return Counts(requests, errors, slow, self._by_bucket(version))

    def _by_bucket(self, version: Version) -> tuple[int, ...]:
        """Return right answers by bucket, where all buckets up to infinity were read."""
        edges = sorted(self._edges_read)
        if not edges or not isinf(edges[-1]):
            return ()
        totals = [round(self._buckets[version].get(edge, 0.0)) for edge in edges]
        return tuple(max(0, b - a) for a, b in zip([0, *totals[:-1]], totals, strict=True))


def _key(labels: Mapping[str, str]) -> str:
    pod = _pod(labels)
    rest = ",".join(f"{name}={labels[name]}" for name in sorted(labels) if name not in _PODS)
    return f"{pod}|{rest}"


def _pod(labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in _PODS if labels.get(name)), "")


def _pod_of(key: str) -> str:
    return key.partition("|")[0]


def _is_count(value: float) -> bool:
    return isfinite(value) and value >= 0


def _metric(labels: Mapping[str, str]) -> str:
    """Return a counter as PromQL names it, without what only says whose it is."""
    shown = ",".join(f'{name}="{labels[name]}"' for name in ("code", "le") if name in labels)
    return labels.get("__name__", "") + (f"{{{shown}}}" if shown else "")


def _value(value: float) -> str:
    """Return a number as Prometheus writes it."""
    return "NaN" if isnan(value) else f"{'-' if value < 0 else '+'}Inf" if isinf(value) else f"{value:g}"


def _named(pods: set[str]) -> str:
    names = sorted(pods)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
