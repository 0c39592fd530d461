"""A load test in numbers: totals, stage by stage, and how the replicas followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlk8s.assess.turns import reversals
from mlk8s.report.results import PERCENTILES, Counts, Results, together
from mlk8s.spec.load import LoadProfile, Slo


@dataclass(frozen=True)
class StageSummary:
    """One stage: its load, and what was sent and answered while it lasted.

    Rates are requests/s over the stage's length, percentiles are seconds, error_rate is a share; a closed
    loop offers no rate of its own.
    """

    load: str
    seconds: float
    offered_rps: float | None
    sent_rps: float
    ok_rps: float
    error_rate: float | None
    percentiles: dict[str, float | None]


@dataclass(frozen=True)
class Scaling:
    """How replicas followed the load; times are seconds since the start of the load, None: did not happen.

    Attributes:
        initial, highest: ready replicas before and at most.
        first_wish: when the autoscaler first wanted more replicas.
        first_ready: when the first further replica was ready.
        highest_ready: when the highest number of ready replicas was first reached.
        back: from when on the number of replicas stayed at the initial one again.
        down_lag: seconds until then from when the load had last fallen, to a lower stage or to its end.
        overshoot: replicas that were wanted at most, above those that were wanted when the load then fell.
        reversals: how often the wish changed its direction.
        replica_seconds: seconds of all replicas together, observed ones.
        outside_slo: seconds of load in which a latency percentile or the errors were outside the SLO; None
            without one.
        lost: requests without a right answer.
    """

    initial: int | None
    highest: int | None
    first_wish: int | None
    first_ready: int | None
    highest_ready: int | None
    back: int | None
    down_lag: int | None = None
    overshoot: int | None = None
    reversals: int = 0
    replica_seconds: int = 0
    outside_slo: int | None = None
    lost: int = 0

    def sentence(self) -> str:
        """Return the same in words."""
        if self.initial is None:
            return "Replicas were not observed."
        if self.highest == self.initial:
            return f"The number of ready replicas stayed at {self.initial}."
        text = f"Ready replicas went from {self.initial} to {self.highest}"
        if self.first_wish is not None:
            text += f"; the autoscaler wanted more after {self.first_wish} s"
        if self.first_ready is not None:
            text += f", the first new pod was ready after {self.first_ready} s"
        if self.highest_ready is not None and self.highest_ready != self.first_ready:
            text += f", all {self.highest} after {self.highest_ready} s"
        if self.overshoot:
            text += f", {self.overshoot} more than were wanted when the load fell"
        text += f"; back at {self.initial} after {self.back} s." if self.back is not None else "."
        if self.outside_slo:
            text += f" The SLO was broken in {self.outside_slo} s."
        return text


@dataclass(frozen=True)
class Summary:
    """Everything about a run that is one number or a short table."""

    total: Counts
    sent: int
    lag: dict[str, float | None]
    """Percentiles of how late the generator was, in seconds; None in a closed loop."""
    unanswered: int
    """Requests that were due and of which no end was recorded, because the test was cut off."""
    stages: tuple[StageSummary, ...]
    scaling: Scaling

    @property
    def percentiles(self) -> dict[str, float | None]:
        """Latency percentiles of right answers over the whole run, in seconds."""
        return self.total.percentiles()


def summarize(results: Results, profile: LoadProfile, timeline: pa.Table, slo: Slo | None = None) -> Summary:
    """Return the summary of a run, its warm-up left out.

    Args:
        timeline: as mlk8s.report.timeline.build returns it.
        slo: what seconds are called outside of.
    """
    start = min(results.load, default=0)
    judged = results.during(profile.warmup)
    total = together(judged.requests.values())
    sent = sum(int(load["sent"]) for load in judged.load.values())
    stages = _stages(judged, profile, start)
    last = results.load[max(results.load)] if results.load else {}
    unanswered = last.get("in_flight", 0) + last.get("waiting", 0)
    scaling = scaling_of(timeline, profile.duration, slo, lost=total.total - total.ok, falls=_falls(profile))
    return Summary(total, sent, judged.lag(), unanswered, stages, scaling)


def _stages(results: Results, profile: LoadProfile, start: int) -> tuple[StageSummary, ...]:
    stages = []
    begin = float(start)
    for stage in profile.stages:
        end = begin + stage.hold
        # A request belongs to the stage it was answered in; stages of whole seconds cut cleanly.
        seconds = [load for second, load in results.load.items() if begin <= second < end]
        counts = results.between(begin, end)
        begin = end
        if not seconds:
            continue
        unit = f"{stage.users} users" if stage.rps is None else f"{stage.rps:g} requests/s"
        length = float(len(seconds))
        stages.append(
            StageSummary(
                load=f"ramp to {unit}" if stage.ramp else unit,
                seconds=length,
                offered_rps=None if stage.rps is None else sum(load["offered"] for load in seconds) / length,
                sent_rps=sum(load["sent"] for load in seconds) / length,
                ok_rps=counts.ok / length,
                error_rate=counts.error_rate,
                percentiles=counts.percentiles(),
            )
        )
    return tuple(stages)


def _falls(profile: LoadProfile) -> list[float]:
    """Return the seconds at which a stage begins that has less load than the one before, and the end."""
    falls, begin, before = [], 0.0, 0.0
    for stage in profile.stages:
        now = float(stage.users or stage.rps or 0.0)
        if now < before:
            falls.append(begin)
        begin, before = begin + stage.hold, now
    return [*falls, begin]


def scaling_of(
    timeline: pa.Table, load_seconds: float, slo: Slo | None = None, *, lost: int = 0,
    falls: Sequence[float] = (),
) -> Scaling:  # fmt: skip
    """Return how replicas followed a load of `load_seconds` that began at t = 0.

    Args:
        lost: passed on.
        falls: seconds at which the load fell, ascending; the end of the load by default.
    """
    falls = falls or [load_seconds]
    names = ["t", "replicas_current", "replicas_desired", "replicas_ready", "error_rate", *PERCENTILES]
    rows: list[dict[str, Any]] = timeline.select(names).to_pylist()
    outside = sum(_outside(row, slo) for row in rows if row["t"] < load_seconds) if slo else None
    ready = [(row["t"], row["replicas_ready"]) for row in rows if row["replicas_ready"] is not None]
    if not ready:
        return Scaling(None, None, None, None, None, None, outside_slo=outside, lost=lost)
    initial, highest = ready[0][1], max(count for _, count in ready)
    wishes = [(row["t"], row["replicas_desired"]) for row in rows if row["replicas_desired"] is not None]
    further = [t for t, count in ready if count > initial]
    back = _back(rows, initial) if further else None
    most = max((count for _, count in wishes), default=0)
    peak = next((t for t, count in wishes if count == most), 0)
    fall = next((fall for fall in falls if fall > peak), load_seconds)
    needed = [count for t, count in wishes if t < fall][-1:]
    fallen = [fall for fall in falls if back is not None and fall <= back]
    return Scaling(
        initial=initial,
        highest=highest,
        first_wish=next((t for t, count in wishes if count > initial), None),
        first_ready=min(further, default=None),
        highest_ready=next(t for t, count in ready if count == highest) if further else None,
        back=back,
        down_lag=None if back is None or not fallen else back - round(fallen[-1]),
        overshoot=most - needed[0] if needed else None,
        reversals=reversals(count for _, count in wishes),
        replica_seconds=sum(row["replicas_current"] or 0 for row in rows),
        outside_slo=outside,
        lost=lost,
    )


def _outside(row: dict[str, Any], slo: Slo) -> bool:
    """Whether a second's percentiles or errors are outside the SLO; one without requests is not."""
    slow = any(row[name] is not None and row[name] > bound for name, bound in slo.latency.items())
    return slow or (slo.errors is not None and (row["error_rate"] or 0.0) > slo.errors)


def _back(rows: list[dict[str, Any]], initial: int) -> int | None:
    """Return the second from which the replicas stayed at `initial` or below, after they had been more."""
    back: int | None = None
    more = False
    for row in rows:
        current = row["replicas_current"]
        if current is None:
            continue
        if current > initial:
            back, more = None, True
        elif more and back is None:
            back = row["t"]
    return back
