"""A pod whose behaviour is known, as probes see it."""

from __future__ import annotations

from collections import Counter
from math import ceil

import numpy as np

from mlk8s.assess.capacity.measured import Capacity
from mlk8s.assess.capacity.probe import Probe, judge
from mlk8s.assess.capacity.threshold import Estimate
from mlk8s.assess.compare import Block
from mlk8s.loadgen.histogram import bucket_of
from mlk8s.spec.load import Slo

SLO = Slo(p99="100ms", errors=0.01)


def probe(rate: float, *, held: bool = True, mean: float = 0.02, **changes: object) -> Probe:
    """A probe of 10 s without an error."""
    values: dict[str, object] = {
        "rate": rate, "seconds": 10.0, "requests": round(10 * rate), "ok": round(10 * rate),
        "percentiles": {"p50": mean, "p90": 2 * mean, "p95": 3 * mean, "p99": 4 * mean if held else 0.4},
        "mean": mean, "errors": 0.0, "kept_up": True, "held": held, "share": float(held),
    }  # fmt: skip
    return Probe(**(values | changes))  # type: ignore[arg-type]


def capacity(rate: float = 50.0, **changes: object) -> Capacity:
    """A pod that holds `rate`, give or take 4 %."""
    values: dict[str, object] = {
        "slo": SLO, "estimate": Estimate(rate, 0.96 * rate, 1.04 * rate, 0.9), "lowest": rate / 20,
        "highest": 2 * rate, "latency": 0.015, "saturation": 1.1 * rate, "start": 6.0,
        "probes": (probe(0.7 * rate), probe(0.9 * rate, mean=0.024), probe(1.1 * rate, held=False)),
        "checks": (),
    }  # fmt: skip
    return Capacity(**(values | changes))  # type: ignore[arg-type]


def queue(rate: float, service: float, seconds: int, random: np.random.Generator) -> Probe:
    """A probe of a real queue, worked out: requests at random, one server, each request takes `service`."""
    arrivals = np.cumsum(random.exponential(1 / rate, size=ceil(rate * seconds * 1.5)))
    arrivals = arrivals[arrivals < seconds]
    ends, free = [], 0.0
    for arrival in arrivals:
        free = max(free, arrival) + service
        ends.append(free)
    latency = np.array(ends) - arrivals
    blocks = []
    for second in range(ceil(max(ends, default=1))):
        inside = latency[(np.array(ends) >= second) & (np.array(ends) < second + 1)]
        blocks.append(Block(Counter(bucket_of(int(1e9 * value)) for value in inside), len(inside)))
    ended = int(np.sum(np.array(ends) < seconds))
    found = judge(SLO, blocks, sent=len(arrivals), ended=ended)
    return probe(
        rate, held=found.held, share=found.share, kept_up=found.kept_up, seconds=float(seconds),
        requests=len(arrivals), ok=len(arrivals), mean=float(latency.mean()),
    )  # fmt: skip
