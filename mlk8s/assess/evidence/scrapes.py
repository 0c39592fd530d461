"""Prometheus' cumulative samples → counts a block: resets, restarts, gaps, late and stale series told, not hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlk8s.assess.evidence.blocks import Block
from mlk8s.series import REQUEST_BUCKETS
from mlk8s.spec.load import Slo

Version = Literal["canary", "stable"]
VersionOf = Callable[[Mapping[str, str]], Version | None]
"""Tells by a series' labels whose it is; None for one that belongs to neither."""


@dataclass(frozen=True)
class Series:
    """One series of the request histogram, as a range selector returns it (`NAME_bucket{...}[1m]`): raw samples.

    Attributes:
        labels: with `__name__` (NAME_bucket or NAME_count), `le` of a bucket, `code`, and `pod` or `instance`.
        points: (second since the epoch, cumulative value), ascending.
    """

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Cursor:
    """How far each series was read: its last sample. Opaque; JSON by `to_dict`."""

    last: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"last": {key: list(point) for key, point in self.last.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cursor:
        """Make it of what `to_dict` returned."""
        return cls({key: (point[0], point[1]) for key, point in values["last"].items()})


def slo_edges(
    slo: Slo, buckets: Sequence[float] = REQUEST_BUCKETS
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the histogram's edge in seconds that stands for each latency bound, and a note for each that differs."""
    raise NotImplementedError


def read_block(
    cursor: Cursor | None,
    series: Sequence[Series],
    *,
    start: float,
    seconds: float,
    weight: int,
    version_of: VersionOf,
    edges: Mapping[str, float],
    started: Mapping[str, float] | None = None,
) -> tuple[Cursor, Block]:
    """Return what was counted since the cursor up to `start + seconds`, and the cursor for the next block."""
    raise NotImplementedError


def read_blocks(
    series: Sequence[Series],
    *,
    start: float,
    end: float,
    seconds: float,
    weight: int,
    version_of: VersionOf,
    edges: Mapping[str, float],
) -> list[Block]:
    """Return the blocks of a recorded range, the same way as `read_block` one after the other."""
    raise NotImplementedError
