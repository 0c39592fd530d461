"""What a live view shows, as numbers, as charts, and as the picture that stays."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from runs import scaling_run

from mlk8s.operations.run import Run
from mlk8s.operations.ticks import Tick
from mlk8s.report.glance import glance, totals
from mlk8s.report.live import charts_html, numbers


def tick(t: int, **changes: object) -> Tick:
    values: dict[str, object] = {
        "t": t, "phase": "load", "offered_rps": 50.0, "users": 16, "sent_rps": 50.0, "achieved_rps": 48.0,
        "p50": 0.0123, "p95": 0.2, "p99": 1.5, "errors": 1234, "ready": 1, "desired": 2, "metric": None,
        "target": None, "gap": None,
    }  # fmt: skip
    return Tick(**values | changes)  # type: ignore[arg-type]


def test_numbers_have_units() -> None:
    found = {item.name: f"{item.value} {item.unit}" for item in numbers(tick(3))}
    assert found == {
        "offered": "50 requests/s", "achieved": "48 requests/s", "p50": "12.3 ms", "p95": "200 ms",
        "p99": "1,500 ms", "errors": "1,234 requests", "replicas": "1 of 2 ready",
    }  # fmt: skip


def test_what_is_not_known_is_a_dash_and_a_closed_loop_has_users() -> None:
    found = {item.name: item.value for item in numbers(tick(0, offered_rps=None, p50=None, ready=None))}
    assert (found["users"], found["p50"], found["replicas"]) == ("16", "–", "–")
    over = {item.name: item.value for item in numbers(tick(9, phase="settle", achieved_rps=0.0))}
    assert over["achieved"] == "–"


def test_charts_are_svg_with_axes_and_words_for_who_cannot_see_them() -> None:
    ticks = [tick(t, p99=None if t == 2 else 0.5, ready=1 + t // 2) for t in range(4)]
    page = ElementTree.fromstring(charts_html(ticks))
    rate, latency, replicas = page
    assert rate.get("aria-label") == "Rate (requests/s) over time: offered 50, achieved 48"
    assert replicas.get("role") == "img" and "ready 2" in str(replicas.get("aria-label"))
    words = [item.text for item in rate.iter("text")]
    for word in ("offered", "achieved", "0", "60", "0 s", "10 s", "time since the start of the load"):
        assert word in words
    drawn = [str(item.get("d")) for item in latency.iter("path") if "h.1" in str(item.get("d"))]
    assert [path.count("M") for path in drawn] == [2, 1, 1], "a second that is not known interrupts its line"
    assert ElementTree.fromstring(charts_html([])).tag == "div"


def test_what_stays_is_whole_in_each_of_its_forms(tmp_path: Path) -> None:
    run = Run.open(scaling_run(tmp_path / "run"))
    left = glance(run)
    assert left["text/plain"] == repr(run)
    assert f"data:image/png;base64,{left['image/png']}" in left["text/html"]
    assert 'alt="Load, latency and replicas over' in left["text/html"]
    found = {item.name: item.value for item in totals(run)}
    assert found["offered, mean"] == "15" and found["replicas"] == "1 to 2" and found["errors"] == "5"
    assert float(found["p50"]) == pytest.approx(200, rel=0.01)
