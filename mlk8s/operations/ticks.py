"""What is seen of a running load test: one `Tick` a second, read from the files that are being written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlk8s.loadgen.tail import Line, Tail
from mlk8s.report.results import Counts, Results


@dataclass(frozen=True)
class Tick:
    """The last whole second of a load test; None where nothing is known yet.

    Attributes:
        t: seconds since the first second of load.
        phase: 'load' or 'settle'.
        offered_rps, sent_rps: requests/s in that second; None offered in a closed loop.
        achieved_rps: right answers/s in that second.
        users: connections.
        p50, p95, p99: latency of right answers in seconds, over the last five seconds.
        errors: requests without a right answer since the start.
        ready, desired: replicas.
        metric, target: the autoscaler's, mean a pod.
        gap: what could not be sampled, in words.
    """

    t: int
    phase: str
    offered_rps: float | None
    users: int
    sent_rps: float
    achieved_rps: float
    p50: float | None
    p95: float | None
    p99: float | None
    errors: int
    ready: int | None
    desired: int | None
    metric: float | None
    target: float | None
    gap: str | None

    def __str__(self) -> str:
        parts = [f"{self.t:>4} s"]
        if self.phase == "load":
            load = f"{self.users} users" if self.offered_rps is None else f"offered {self.offered_rps:g}/s"
            parts.append(f"{load}, answered {self.achieved_rps:g}/s")
        else:
            parts.append("load is over")
        if self.p50 is not None and self.p95 is not None and self.p99 is not None:
            parts.append(
                "p50/p95/p99 " + "/".join(f"{1000 * x:.3g}" for x in (self.p50, self.p95, self.p99)) + " ms"
            )
        parts.append(f"{self.errors} errors")
        if self.ready is not None:
            parts.append(f"replicas {self.ready} ready of {self.desired}")
        if self.metric is not None and self.target is not None:
            parts.append(f"metric {self.metric:.3g} (target {self.target:g})")
        if self.gap:
            parts.append(self.gap)
        return "  ".join(parts)


class Watcher:
    """Follows a run directory and sums up its last second."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._requests = Tail(lambda: sorted(directory.glob("requests-*.jsonl")))
        self._cluster = Tail(lambda: [directory / "cluster.jsonl"])
        self._results = Results()
        self._errors = 0
        self._start: int | None = None
        self._last: dict[str, Any] = {}
        self._latency: tuple[int, dict[str, float | None]] = 0, {}
        """Percentiles, and how many lines they are of."""
        self._lines = 0

    @property
    def start(self) -> int | None:
        """First second of load, since the epoch; None before it is known."""
        return self._start

    def tick(self, phase: str) -> Tick:
        """Read what is new and return the last second."""
        for line in self._requests.new():
            self._results.take(line)
            self._lines += 1
            if self._start is None:
                self._start = int(line["t"])
            if line["kind"] == "requests" and line["outcome"] != "ok":
                self._errors += line["count"]
        for sample in self._cluster.new():
            self._take(sample)
        second = max(self._results.load, default=0)
        self._forget(second - 10)
        load = self._results.load.get(second, {}) if phase == "load" else {}
        answered = self._results.requests.get(second, Counts())
        latency = self._recent(second) if phase == "load" else {}
        hpa, deployment = self._last.get("hpa") or {}, self._last.get("deployment") or {}
        return Tick(
            t=max(0, max(second, int(self._last.get("t", 0))) - self._start)
            if self._start is not None
            else 0,
            phase=phase,
            offered_rps=load.get("offered"),
            users=load.get("users", 0),
            sent_rps=load.get("sent", 0.0),
            achieved_rps=float(answered.ok) if phase == "load" else 0.0,
            p50=latency.get("p50"),
            p95=latency.get("p95"),
            p99=latency.get("p99"),
            errors=self._errors,
            ready=deployment.get("ready"),
            desired=hpa.get("desired") or deployment.get("desired"),
            metric=hpa.get("metric"),
            target=hpa.get("target"),
            gap="; ".join(self._gaps()) or None,
        )

    def _recent(self, second: int) -> dict[str, float | None]:
        lines, latency = self._latency
        if lines != self._lines:
            latency = self._results.between(second - 4, second + 1).percentiles()
            self._latency = self._lines, latency
        return latency

    def _take(self, sample: Line) -> None:
        if "gap" in sample:
            self._last[f"gap {sample['gap']}"] = sample["error"]
            return
        source = "server" if "server" in sample else "kubernetes"
        self._last.pop(f"gap {source}", None)
        self._last |= sample

    def _gaps(self) -> Iterator[str]:
        names = {"gap kubernetes": "replicas not seen", "gap server": "Prometheus not seen"}
        for name, words in names.items():
            if name in self._last:
                yield f"{words}: {self._last[name]}"

    def _forget(self, before: int) -> None:
        for kept in (self._results.load, self._results.requests):
            for second in [second for second in kept if second < before]:
                del kept[second]
