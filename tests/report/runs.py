"""Run directories as a load test leaves them: the same files, with numbers that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from mlk8s.loadgen.histogram import bucket_of
from mlk8s.spec.load import LoadProfile, Slo

START = 1_795_468_200
"""Second since the epoch of t = 0."""


def load(second: int, **changes: Any) -> dict[str, Any]:
    line = {
        "t": START + second,
        "kind": "load",
        "users": 4,
        "offered": 10.0,
        "sent": 10,
        "in_flight": 0,
        "waiting": 0,
        "lag": {"100": 10},
    }
    return line | changes


def requests(second: int, latencies: list[float], outcome: str = "ok", status: int = 200) -> dict[str, Any]:
    histogram: dict[str, int] = {}
    for latency in latencies:
        bucket = str(bucket_of(int(latency * 1e9)))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    return {
        "t": START + second, "kind": "requests", "name": "iris infer", "outcome": outcome, "status": status,
        "version": "1" if outcome == "ok" else "", "count": len(latencies), "hist": histogram,
    }  # fmt: skip


def sample(
    second: float, *, desired: int, ready: int, metric: float | None = 1.0, **more: Any
) -> dict[str, Any]:
    deployment = {
        "desired": desired,
        "current": desired,
        "ready": ready,
        "updated": ready,
        "available": ready,
    }
    hpa = {
        "desired": desired, "current": ready, "min": 1, "max": 4, "name": "requests_in_flight", "target": 2.0,
        "metric": metric, "conditions": {},
    }  # fmt: skip
    return {"t": START + second, "deployment": deployment, "hpa": hpa} | more


def scaling_run(directory: Path) -> Path:
    """Two stages of 10 s, 10 and 20 requests/s; replicas 1 → 2 → 1; five errors at t = 12."""
    lines, samples = [], []
    for second in range(20):
        rate = 10 if second < 10 else 20
        lines.append(load(second, offered=float(rate), sent=rate))
        lines.append(requests(second, [0.010 if second < 10 else 0.200] * rate))
    lines.append(requests(12, [0.001] * 5, "http_5xx", 503))
    for second in range(-1, 40):
        desired = 2 if 11 <= second < 30 else 1
        ready = 2 if 14 <= second < 31 else 1
        samples.append(
            sample(second + 0.5, desired=desired, ready=ready, metric=4.5 if 10 <= second < 14 else 1.0)
        )
    pod = {
        "name": "iris-1", "created": "2026-11-23T21:09:00Z", "ready": "2026-11-23T21:09:07Z",
        "deleted": "2026-11-23T21:11:00Z", "grace": 30,
    }  # fmt: skip
    samples[3]["pods"] = [pod]
    samples.append({"t": START + 5.6, "gap": "server", "error": "there is no Prometheus <at all>"})
    return write(directory, lines, samples, LoadProfile.steps(rps=[10, 20], hold=10))


def write(
    directory: Path,
    lines: list[dict[str, Any]],
    samples: list[dict[str, Any]],
    profile: LoadProfile,
    **facts: Any,
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "requests-7.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    (directory / "cluster.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in samples))
    (directory / "profile.json").write_bytes(orjson.dumps(profile.model_dump()))
    values = {
        "target": {"name": "iris", "namespace": "demo", "url": "http://127.0.0.1:8080/d/iris", "model": None},
        "cluster": {"server": "https://10.200.0.2:6443", "context": "mlk8s-dev"},
        "versions": {"mlk8s": "0.1.0", "Kubernetes": "v1.35.4", "Locust": "2.47.0", "Python": "3.11.7"},
        "machine": "x86_64, 2 CPUs",
        "slo": Slo(p99="100ms", errors=0.05).model_dump(),
        "settle": 20.0,
        "started": START - 3.0,
        "ended": START + 40.0,
        "cut": None,
    }  # fmt: skip
    (directory / "facts.json").write_bytes(orjson.dumps(values | facts))
    return directory
