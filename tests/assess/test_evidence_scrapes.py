"""Cumulative samples become counts: resets, restarts, gaps, late, stale and broken scrapes, many series."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
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
        "Prometheus has no samples of the stable version's pods: the canary is not compared",
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
    assert gap.cause == "Prometheus has no samples of the canary's pods (new-1)"
    assert f"{gap.cause}: the block only lets time go by" in gap.notes
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
    name = f'{REQUESTS}_count{{code="200"}}'
    assert f"new-1: {name} is NaN in a scrape that was left out" in block.notes
    assert not block.missing, "the growth up to the last sample has what was left out"
    assert "new-1: a sample that was out of order was left out" in block.notes


@pytest.mark.parametrize(("value", "word"), [(nan, "NaN"), (inf, "+Inf"), (-inf, "-Inf"), (-3.0, "-3")])
def test_a_version_of_which_one_series_is_no_count_is_not_judged_until_it_is_one(
    value: float, word: str
) -> None:
    both = [*pair("new-1", [(0, 0)]), series("new-1", [(0, 2)], code="500"), *pair("old-1", [(0, 0)])]
    good = [*pair("new-1", [(9, 40)]), *pair("old-1", [(9, 90)])]
    cursor, block = read(baseline(both), [*good, series("new-1", [(4, 3), (9, value)], code="500")], 0)
    name = f'{REQUESTS}_count{{code="500"}}'
    assert block.missing and (block.canary.requests, block.canary.errors) == (0, 0), "no failure is hidden"
    assert block.cause == f"new-1: {name} is {word}"
    assert f"{block.cause}: the block only lets time go by" in block.notes
    assert block.stable.requests == 90
    later = [*pair("new-1", [(19, 45)]), *pair("old-1", [(19, 99)]), series("new-1", [(19, 7)], code="500")]
    _, block = read(cursor, later, 10)
    assert (block.canary.requests, block.canary.errors) == (45 + 5, 5), "nothing of it was lost"
    assert block.stable.requests == 9, "and nothing is counted twice"
    old = series("new-0", [(-9, value)], code="500")
    _, block = read(baseline([*both, old]), [*good, old], 0)
    assert block.canary.requests == 40 and block.notes == (), "of a pod that was there before"


def test_a_series_that_was_no_count_from_the_beginning_counts_from_its_first_count() -> None:
    def failed(*points: tuple[float, float]) -> Series:
        return series("new-1", list(points), code="500")

    cursor = baseline([*pair("new-1", [(0, 0)]), failed((0, nan))])
    found = [*pair("new-1", [(9, 8)]), failed((0, nan), (5, 70), (9, 72))]
    _, block = read(cursor, found, 0)
    assert (block.canary.requests, block.canary.errors) == (8 + 2, 2), "70 may be of long ago"
    _, block = read(cursor, found, 0, started={"new-1": 2.0})
    assert block.canary.errors == 72, "its process is new"


def test_a_counter_that_falls_without_a_restart_is_no_count_in_that_block() -> None:
    cursor = baseline([*pair("new-1", [(0, 500)]), *pair("old-1", [(0, 0)])])
    found = [*pair("new-1", [(4, 510), (9, 300)]), *pair("old-1", [(9, 5)])]
    _, restart = read(cursor, found, 0, started={"new-1": 6.0})
    assert restart.canary.requests == 310
    cursor, fell = read(cursor, found, 0, started={"new-1": -60.0})
    assert fell.missing and fell.canary.requests == 0
    assert f'new-1: {REQUESTS}_count{{code="200"}} fell without a restart' in fell.cause
    _, then = read(cursor, pair("new-1", [(19, 304)]), 10, started={"new-1": -60.0})
    assert then.canary.requests == 4 and not then.missing, "it counts on from where it fell to"


def test_a_stable_version_with_numbers_that_are_no_counts_is_not_compared_with() -> None:
    cursor = baseline([*pair("new-1", [(0, 0)]), *pair("old-1", [(0, 0)])])
    _, block = read(cursor, [*pair("new-1", [(9, 3)]), *pair("old-1", [(9, nan)])], 0)
    assert not block.missing and block.canary.requests == 3 and block.stable.requests == 0
    assert any(note.endswith("the canary is not compared") for note in block.notes)


def test_what_the_controller_answered_counts_where_the_servers_numbers_are_none() -> None:
    def unanswered(at: float, value: float) -> Series:
        return Series({"__name__": "ingress_unanswered", "pod": "new-way-in"}, [(at, value)])

    cursor = baseline([*pair("new-1", [(0, 0)]), unanswered(0, 1)])
    cursor, block = read(cursor, [*pair("new-1", [(9, nan)]), unanswered(9, 4)], 0)
    assert (block.canary.requests, block.canary.errors, block.missing) == (3, 3, False)
    assert any("only what the controller answered is known" in note for note in block.notes)
    _, block = read(cursor, [*pair("new-1", [(19, 6)]), unanswered(19, 4)], 10)
    assert (block.canary.requests, block.canary.errors) == (6, 0), "they are counted once"


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
