from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.loadgen.histogram import BUCKETS, HIGHEST, Histogram, bounds_of, bucket_of, quantiles, value_of

NANOSECONDS = st.integers(min_value=0, max_value=100_000_000_000)


@given(st.integers(min_value=50_000, max_value=60_000_000_000))
def test_a_latency_is_kept_within_one_percent(nanoseconds: int) -> None:
    bucket = bucket_of(nanoseconds)
    seconds = nanoseconds * 1e-9
    assert abs(value_of(bucket) - seconds) <= 0.01 * seconds
    lower, upper = bounds_of(bucket)
    assert lower * (1 - 1e-12) <= seconds <= upper * (1 + 1e-12)


@given(NANOSECONDS, NANOSECONDS)
def test_buckets_are_in_the_order_of_latencies(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high) < BUCKETS


@given(NANOSECONDS)
def test_what_is_added_is_in_its_bucket(nanoseconds: int) -> None:
    histogram = Histogram()
    histogram.add(nanoseconds)
    histogram.fold()
    histogram.add(nanoseconds)
    assert histogram.count == 2
    assert histogram.sparse() == {bucket_of(nanoseconds): 2}


@given(st.lists(NANOSECONDS))
def test_many_at_once_are_counted_as_one_by_one(many: list[int]) -> None:
    histogram = Histogram()
    for nanoseconds in many:
        histogram.add(nanoseconds)
    assert histogram.sparse() == dict(Counter(map(bucket_of, many)))


def test_the_buckets_touch() -> None:
    assert all(bounds_of(bucket)[1] == bounds_of(bucket + 1)[0] for bucket in range(BUCKETS - 1))


def test_latencies_above_the_range_count_at_its_end() -> None:
    assert bucket_of(10**15) == bucket_of(int(HIGHEST * 1e9)) == BUCKETS - 1


def test_quantiles_agree_with_numpy_on_raw_samples() -> None:
    samples = np.random.default_rng(3).lognormal(-4, 0.8, 20_000)
    histogram: dict[int, int] = {}
    for sample in samples:
        bucket = bucket_of(int(sample * 1e9))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    shares = [0.5, 0.9, 0.95, 0.99, 1.0]
    exact = np.quantile(samples, shares, method="inverted_cdf")
    assert quantiles(histogram, shares) == pytest.approx(list(exact), rel=0.01)


def test_nothing_has_no_quantile() -> None:
    assert quantiles({}, [0.5]) == [None]


def test_a_single_value_is_every_quantile() -> None:
    found = quantiles({bucket_of(250_000_000): 1}, [0.0, 0.5, 1.0])
    assert found == [pytest.approx(0.25, rel=0.01)] * 3
