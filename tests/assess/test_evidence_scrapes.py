"""Cumulative samples become counts: resets, restarts, gaps, late, stale and broken scrapes, many series."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlk8s.assess.evidence import Block, Cursor, Judge, Series, read_block, read_blocks, slo_edges
from mlk8s.assess.evidence.scrapes import Version
from mlk8s.errors import SpecError
from mlk8s.series import IN_FLIGHT_SECONDS, REQUEST_BUCKETS, REQUESTS
from mlk8s.spec.analysis import Analysis
from mlk8s.spec.load import Slo

EDGES = {"p99": 0.1}


def version_of(labels: Mapping[str, str]) -> Version | None:
    pod = labels["pod"]
    return "canary" if pod.startswith("new") else "stable" if pod.startswith("old") else None


def series(
    pod: str, points: list[tuple[float, float]], *, code: str = "200", le: str | None = None
) -> Series:
    labels = {"__name__": f"{REQUESTS}_{'bucket' if le else 'count'}", "pod": pod, "code": code}
    return Series(labels | ({"le": le} if le else {}), points)


def pair(pod: str, points: list[tuple[float, float]], quick: float = 1.0) -> list[Series]:
    """Return count and bucket of a pod whose requests are quick to the given share."""
    return [series(pod, points), series(pod, [(at, quick * value) for at, value in points], le="0.1")]


def read(cursor: Cursor | None, found: list[Series], start: float, seconds: float = 10, **more: Any) -> Any:
    return read_block(
        cursor, found, start=start, seconds=seconds, weight=10, version_of=version_of, edges=EDGES, **more
    )


def baseline(found: list[Series], at: float = 0.0) -> Cursor:
    cursor, block = read(None, found, at, 0)
    assert block.canary.requests == block.stable.requests == 0
    return cursor


def test_what_grew_since_the_last_scrape_is_counted() -> None:
    first = [*pair("new-1", [(0, 100)]), *pair("old-1", [(0, 9000)])]
    then = [
        *pair("new-1", [(0, 100), (5, 104), (10, 110)], 1.0),
        *pair("old-1", [(0, 9000), (5, 9050), (10, 9090)]),
        series("other", [(0, 5), (10, 50)]),
        series("new-1", [(5, 1), (10, 3)], code="503"),
    ]
    _, block = read(baseline(first), then, 0)
    # A code that was never answered before counts from zero: its first answers are the first failures.
    assert (block.canary.requests, block.canary.errors, block.canary.slow) == (13, 3, {"p99": 0})
    assert (block.stable.requests, block.stable.errors) == (90, 0)
    assert not block.missing and block.notes == ()


def test_requests_above_the_edge_are_slow() -> None:
    cursor = baseline(pair("new-1", [(0, 0)]))
    _, block = read(cursor, pair("new-1", [(10, 200)], quick=0.9), 0)
    assert block.canary.of("p99") == (20, 200)


def test_all_buckets_together_give_the_quantiles() -> None:
    def scrape(at: float, counts: dict[str, float]) -> list[Series]:
        total = max(counts.values())
        found = [series("new-1", [(at, value)], le=edge) for edge, value in counts.items()]
        return [series("new-1", [(at, total)]), *found]

    zero = {str(edge): 0.0 for edge in REQUEST_BUCKETS} | {"+Inf": 0.0}
    cursor = baseline(scrape(0, zero))
    _, block = read(cursor, scrape(9, {key: 20_000.0 if float(key) >= 0.1 else 0.0 for key in zero}), 0)
    assert sum(block.canary.buckets) == 20_000 == block.canary.buckets[REQUEST_BUCKETS.index(0.1)]
    assert (block.canary + block.canary).buckets[REQUEST_BUCKETS.index(0.1)] == 40_000
    judge = Judge(Analysis(slo=Slo(p99="250ms")))
    found = judge.decide(judge.step(judge.start(0.0), block)).metric("p99")
    assert found.latency == (0.075, 0.1)


def test_several_series_of_one_version_add_up() -> None:
    first = [one for pod in ("new-1", "new-2") for one in pair(pod, [(0, 50)])]
    then = [one for pod, value in (("new-1", 60), ("new-2", 57)) for one in pair(pod, [(9, value)])]
    _, block = read(baseline(first), then, 0)
    assert block.canary.requests == 17


def test_a_reset_counts_from_zero_and_is_told() -> None:
    cursor = baseline(pair("new-1", [(0, 500)]))
    _, block = read(cursor, pair("new-1", [(4, 510), (9, 7)]), 0)
    assert block.canary.requests == 10 + 7
    assert block.notes == (
        "new-1: a counter began again (restart): requests after the last scrape before it are lost",
        "no scrape of the stable version in this block: the canary is not compared",
    )


def test_a_late_scrape_is_counted_late_and_told() -> None:
    cursor = baseline(pair("new-1", [(0, 0)]))
    cursor, early = read(cursor, pair("new-1", [(0, 0), (4, 10)]), 0)
    # The scrape of second 9 came after the block had been read.
    _, late = read(cursor, pair("new-1", [(4, 10), (9, 25), (14, 30)]), 10)
    assert (early.canary.requests, late.canary.requests) == (10, 20)
    assert "new-1: a scrape came late and is counted now" in late.notes


def test_missing_scrapes_make_a_block_missing_and_lose_nothing() -> None:
    cursor = baseline(pair("new-1", [(0, 0)]))
    cursor, gap = read(cursor, [], 0)
    assert gap.missing and gap.canary.requests == 0
    assert "no scrape of the canary in this block: it only lets time go by" in gap.notes
    assert "new-1: no scrape in this block" in gap.notes
    _, after = read(cursor, pair("new-1", [(12, 40)]), 10)
    assert after.canary.requests == 40 and not after.missing


def test_a_pod_that_is_scraped_without_requests_is_not_missing() -> None:
    def beat(at: float) -> Series:
        return Series({"__name__": IN_FLIGHT_SECONDS, "pod": "new-1"}, [(at, 0.0)])

    cursor = baseline([beat(0)])
    cursor, idle = read(cursor, [beat(9)], 0)
    assert not idle.missing and idle.canary.requests == 0
    # Its first requests are counted from zero, without a note: the pod was known.
    _, first = read(cursor, [beat(19), series("new-1", [(19, 3)])], 10)
    assert first.canary.requests == 3 and not any("appeared" in note for note in first.notes)


def test_nan_and_disorder_are_left_out_and_told() -> None:
    cursor = baseline([series("new-1", [(0, 0)])])
    _, block = read(cursor, [series("new-1", [(2, 5), (4, nan), (3, 1), (2, 9), (8, 12)])], 0)
    # (3, 1) after (2, 5) is a reset; (2, 9) is out of order.
    assert block.canary.requests == 5 + 1 + 11
    assert "new-1: a value that is no count (NaN) was left out" in block.notes
    assert "new-1: a sample that was out of order was left out" in block.notes


def test_a_new_pod_counts_from_its_start_unless_it_may_be_older() -> None:
    cursor = baseline(pair("new-1", [(0, 0)]))
    both = [*pair("new-1", [(9, 3)]), *pair("new-2", [(9, 8)])]
    _, block = read(cursor, both, 0)
    assert block.canary.requests == 11
    assert "new-2: appeared: counted from its start" in block.notes
    cursor, _ = read(cursor, [], 0)
    _, after = read(cursor, [series("new-1", [(12, 3)]), series("new-2", [(12, 800), (19, 805)])], 10)
    assert after.canary.requests == 3 + 5
    assert "new-2: appeared, but may be older: counted from now on" in after.notes
    _, known = read(cursor, [series("new-2", [(12, 800)])], 10, started={"new-2": 11.0})
    assert known.canary.requests == 800
    _, old = read(cursor, [series("new-2", [(12, 800)])], 10, started={"new-2": -500.0})
    assert old.canary.requests == 0


def test_samples_after_the_block_wait_for_the_next() -> None:
    cursor = baseline([series("new-1", [(0, 0)])])
    found = [series("new-1", [(0, 0), (9, 5), (11, 9)])]
    cursor, first = read(cursor, found, 0)
    _, second = read(cursor, found, 10)
    assert (first.canary.requests, second.canary.requests) == (5, 4)


def test_a_bucket_ahead_of_its_count_is_told() -> None:
    cursor = baseline(pair("new-1", [(0, 0)]))
    _, block = read(cursor, [series("new-1", [(9, 5)]), series("new-1", [(9, 7)], le="0.1")], 0)
    assert block.canary.slow == {"p99": 0}
    assert any("more requests in the bucket of p99" in note for note in block.notes)


@given(
    steps=st.lists(st.tuples(st.floats(0.5, 8), st.integers(0, 30), st.booleans()), min_size=1, max_size=40),
    seconds=st.sampled_from([5.0, 10.0, 30.0]),
)
@settings(max_examples=60, deadline=None)
def test_however_it_is_cut_into_blocks_the_sum_is_the_same(
    steps: list[tuple[float, int, bool]], seconds: float
) -> None:
    at, value, true = 0.0, 100.0, 0
    points = [(0.0, 100.0)]
    for gap, grown, restart in steps:
        at += gap
        value = float(grown) if restart and grown < value else value + grown
        true += grown
        points.append((at, value))
    end = seconds * (at // seconds + 1)
    blocks = read_blocks(
        [series("new-1", points)],
        start=0.0,
        end=end,
        seconds=seconds,
        weight=5,
        version_of=version_of,
        edges={},
    )
    assert sum(block.canary.requests for block in blocks) == true
    assert all(
        block.missing == (not any(block.start < t <= block.end for t, _ in points)) for block in blocks
    )


def test_a_cursor_and_a_block_survive_json() -> None:
    import json

    cursor, block = read(baseline(pair("new-1", [(0, 0)])), pair("new-1", [(9, 5)]), 0)
    assert Cursor.from_dict(json.loads(json.dumps(cursor.to_dict()))) == cursor
    assert Block.from_dict(json.loads(json.dumps(block.to_dict()))) == block
    assert Cursor.from_dict(json.loads(json.dumps(Cursor().to_dict()))) == Cursor()


def test_a_bound_between_two_edges_takes_the_lower_one_and_says_so() -> None:
    assert slo_edges(Slo(p99="100ms", errors=0.01)) == ({"p99": 0.1}, ())
    edges, notes = slo_edges(Slo(p50="30ms", p99="99ms"))
    assert edges == {"p50": 0.025, "p99": 0.075}
    assert notes[1] == "p99: 99 ms is no edge of the histogram; requests above 75 ms count as slow"
    with pytest.raises(SpecError, match="below the histogram's first bucket"):
        slo_edges(Slo(p99="1ms"))
