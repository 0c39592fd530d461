"""What a rollout's live view shows, as numbers and as charts, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

import mlk8s
from mlk8s.assess.evidence import Block, Counts, Judge
from mlk8s.assess.rollout_words import Progress
from mlk8s.operations.rollout_view import CanaryResult
from mlk8s.report.canary_end import end_html
from mlk8s.report.evidence import Entries, share_limit
from mlk8s.report.live_canary import charts_html, head_html, numbers, said_html
from mlk8s.report.svg import Frame, Line

ANALYSIS = mlk8s.Analysis(slo=mlk8s.Slo(errors=0.01, p99="100ms"), deadline="10h")


def entries(count: int, *, missing: int | None = None) -> Entries:
    judge = Judge(ANALYSIS)
    state, found = judge.start(0.0), []
    for number in range(count):
        counts = Counts(20, int(number % 9 == 0), {"p99": 0})
        stable = Counts(60, 0, {"p99": 0})
        block = Block(10.0 * number, 10.0, 5 * (1 + number // 4), counts, stable, missing=number == missing)
        state = judge.step(state, block)
        found.append((block, judge.decide(state)))
    return found


def progress(found: Entries, **more: str) -> Progress:
    block, decision = found[-1]
    return Progress("iris", "s3://m/2", block.weight, block, decision, **more)


def test_numbers_have_units_and_intervals_their_bounds() -> None:
    found = {item.name: f"{item.value} | {item.unit}" for item in numbers(progress(entries(3)))}
    assert found["weight"] == "5 | % of the requests"
    assert found["requests"] == "60 | of the canary"
    assert found["last block"] == "20 | requests"
    assert found["time"] == "30 s | since the first weight"
    assert found["failed requests"].endswith("% | at most 1 %") and " to " in found["failed requests"]
    assert "requests above 100 ms (p99)" in found
    gap = {item.name: item.value for item in numbers(progress(entries(3, missing=2)))}
    assert gap["last block"] == "–"


def test_charts_have_words_for_who_cannot_see_them_and_ends_that_say_when() -> None:
    page = ElementTree.fromstring(charts_html(entries(12, missing=4)))
    charts = list(page.iter("svg"))
    assert len(charts) == 1 + 2 * 2
    labels = [str(chart.get("aria-label")) for chart in charts]
    assert labels[0] == "Weight over time, now 15 %; 1 blocks drawn without data, marked ×"
    assert labels[1].startswith("failed requests: between ") and labels[1].endswith(", SLO 1 %")
    assert "within the SLO" in labels[2] and "of its decision line" in labels[2]
    words = [item.text for item in charts[2].iter("text")]
    assert {"promote from 2.0 on", "roll back from 2.6 on", "0 s", "2 min"} <= set(words)
    assert charts_html([]) == ""


def test_long_rollout_is_drawn_with_as_many_points_as_are_seen() -> None:
    short, long = charts_html(entries(140)), charts_html(entries(700))
    assert len(long) < 1.4 * len(short)
    assert "1 h 56 min" in long, "the last block is drawn"


def test_interval_is_drawn_where_it_closes_in_on_the_bound() -> None:
    assert share_limit(0.01, [None, 0.0]) == 0.05
    assert share_limit(0.01, [0.1]) == pytest.approx(0.13)
    assert share_limit(0.5, [0.9]) == 1.0


def test_legend_that_is_too_long_for_a_row_goes_on_in_the_next() -> None:
    lines = [Line("a long name of a line", "", 1, "red")] * 3
    one, two = Frame("t", lines[:1], (0, 1), (0, 1)), Frame("t", lines, (0, 1), (0, 1))
    assert two.top > one.top
    chart = two.chart([], ticks=[], below=("", "", ""), alt="x & y")
    ends = [
        float(item.get("x", 0)) + 6 * len(item.text or "")
        for item in ElementTree.fromstring(chart).iter("text")
    ]
    assert max(ends) <= two.width


def test_path_ends_where_nothing_is_known_and_stays_in_the_frame() -> None:
    frame = Frame("t", [], (0, 3), (0, 1), 304, 132)
    path = frame.path([(0, 0.5), (1, None), (2, 7.0), (3, -7.0)])
    assert path.count("M") == 2
    assert f"{frame.top:.1f}" in path and f"{132 - 20:.1f}" in path


def test_texts_are_escaped() -> None:
    html = head_html("<b>", "a & b", []) + said_html(["<i>", "later"])
    assert "<b>" not in html and "a &amp; b" in html and "&lt;i&gt;" in html
    assert html.index("later") < html.index("&lt;i&gt;"), "the newest line is the first"


def test_what_stays_is_whole_in_each_of_its_forms(tmp_path: Path) -> None:
    found = entries(5)
    result = CanaryResult(
        "iris", "s3://m/2", "rolled back", ("because <it> failed",), found[-1][1], tmp_path, 50.0, 9, 1.0
    )
    assert repr(result) == str(result)
    left = end_html("iris", result, "", found, ["12:00:00 weight 5"])
    assert left["text/plain"].startswith("iris: s3://m/2 rolled back\n  because <it> failed")
    assert "because &lt;it&gt; failed" in left["text/html"] and "12:00:00 weight 5" in left["text/html"]
    assert f"data:image/png;base64,{left['image/png']}" in left["text/html"]
    broken = end_html("iris", None, "interrupted: it keeps weight 5 %", found, [])
    assert broken["text/plain"] == "iris: broken off\ninterrupted: it keeps weight 5 %"
    assert "image/png" in broken
    assert set(end_html("iris", None, "", [], [])) == {"text/plain", "text/html"}
