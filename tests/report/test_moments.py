from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import load, requests, sample, scaling_run, write

from mlk8s.operations.run import Run
from mlk8s.report.moments import COLUMNS
from mlk8s.spec.load import LoadProfile


def conditions(status: str, reason: str) -> dict[str, Any]:
    return {"ScalingActive": {"status": status, "reason": reason, "message": "as it says"}}


def autoscaled(directory: Path) -> Run:
    """Ten seconds: a pod that starts, an event, a condition that changes, CPU and memory."""
    lines = [load(second) for second in range(10)]
    lines += [requests(second, [0.01] * 6) for second in range(10)]
    kinds = {"connection": 0, "timeout": 0, "http_5xx": 503, "http_4xx": 404, "wrong_answer": 200, "shed": 0}
    lines += [requests(4, [0.001], kind, status) for kind, status in kinds.items()]
    samples = []
    for second in range(-1, 10):
        found = sample(
            second + 0.5, desired=2, ready=1, usage={"cpu": 0.25, "memory": 2.0**28}
        )  # fmt: skip
        active = second >= 3
        found["hpa"]["conditions"] = conditions(
            "True" if active else "False", "ValidMetricFound" if active else "FailedGetPodsMetric"
        )
        samples.append(found)
    times = {"created": "10:02Z", "scheduled": "10:02Z", "started": "10:04Z", "ready": "10:06Z"}
    samples[6]["pods"] = [
        {"name": "iris-2"} | {step: f"2026-11-23T21:{time}" for step, time in times.items()}
    ]
    event = {"at": "2026-11-23T21:10:02Z", "reason": "SuccessfulRescale", "message": "New size: 2"}
    samples[3]["events"] = [event, event | {"at": "2026-11-23T20:10:02Z"}]
    return Run.open(write(directory, lines, samples, LoadProfile.steps(rps=[10, 10], hold=5)))


def test_everything_that_happened_is_on_one_clock(tmp_path: Path) -> None:
    table = autoscaled(tmp_path / "run").events()
    assert table.column_names == list(COLUMNS)
    found = [(row["t"], row["kind"], row["what"], row["subject"]) for row in table.to_pylist()]
    assert found == [
        (-0.5, "condition", "False: FailedGetPodsMetric", "ScalingActive"),
        (0.0, "load", "stage", "10 requests/s"),
        (2.0, "pod", "created", "iris-2"),
        (2.0, "pod", "scheduled", "iris-2"),
        (2.0, "autoscaler", "SuccessfulRescale", ""),
        (3.5, "condition", "True: ValidMetricFound", "ScalingActive"),
        (4.0, "pod", "started", "iris-2"),
        (5.0, "load", "stage", "10 requests/s"),
        (6.0, "pod", "ready", "iris-2"),
        (10.0, "load", "end of the load", ""),
    ], "an event of an hour before is none of the run's"


def test_cpu_and_memory_are_in_the_timeline_and_in_the_alt_text(tmp_path: Path) -> None:
    run = autoscaled(tmp_path / "run")
    rows = run.timeline().to_pylist()
    assert {(row["cpu_cores"], row["memory_bytes"]) for row in rows} == {(0.25, 2.0**28)}
    alt = run.plot().alt
    assert alt.startswith("Six plots") and "at most 0.25 CPUs and 256 MiB" in alt


def test_errors_are_told_apart_by_kind(tmp_path: Path) -> None:
    run = autoscaled(tmp_path / "run")
    row = run.timeline().to_pylist()[4]
    kinds = {name.removeprefix("errors_"): row[name] for name in row if name.startswith("errors_")}
    assert kinds == {"connection": 1, "timeout": 1, "status": 2, "wrong": 1, "shed": 1}
    assert row["error_rate"] == pytest.approx(6 / 12)
    legend = [text.get_text() for text in run.plot().figure.axes[2].get_legend().get_texts()]
    assert {"connection", "time-out", "HTTP status", "wrong answer", "shed"} < set(legend)


def test_moments_are_drawn_in_rows_and_listed_in_the_report(tmp_path: Path) -> None:
    run = autoscaled(tmp_path / "run")
    rows = [label.get_text() for label in run.plot().figure.axes[4].get_yticklabels()]
    assert rows == [
        "pod scheduled", "pod started", "pod ready", "autoscaler's event", "its condition changed"
    ]  # fmt: skip
    text = run.report().read_text()
    for words in ("iris-2", "SuccessfulRescale", "ScalingActive True: ValidMetricFound", "as it says"):
        assert words in text


def test_a_run_without_pods_or_usage_has_no_empty_panels(tmp_path: Path) -> None:
    lines = [load(0), requests(0, [0.01] * 10)]
    run = Run.open(write(tmp_path / "run", lines, [], LoadProfile.constant(rps=10, hold=1)))
    assert run.plot().alt.startswith("Four plots") and len(run.plot().figure.axes) == 4
    assert run.timeline()["cpu_cores"].to_pylist() == [None]


def test_both_files_of_a_run_hold_its_moments(tmp_path: Path) -> None:
    import orjson

    run = Run.open(scaling_run(tmp_path / "run"))
    _, json = run.save()
    assert orjson.loads(json.read_bytes())["events"] == run.events().to_pylist()
