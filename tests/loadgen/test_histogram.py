from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.loadgen.histogram import HIGHEST, LOWEST, bounds_of, bucket_of, quantiles, value_of


@given(st.floats(min_value=LOWEST, max_value=HIGHEST))
def test_a_latency_is_kept_within_one_percent(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert abs(value_of(bucket) - seconds) <= 0.01 * seconds
    lower, upper = bounds_of(bucket)
    assert lower * (1 - 1e-12) <= seconds <= upper * (1 + 1e-12)


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e9))
def test_buckets_are_in_the_order_of_latencies(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


def test_latencies_outside_the_range_count_at_its_ends() -> None:
    assert bucket_of(0.0) == bucket_of(LOWEST) == 0
    assert bucket_of(1e6) == bucket_of(HIGHEST)


def test_quantiles_agree_with_numpy_on_raw_samples() -> None:
    samples = np.random.default_rng(3).lognormal(-4, 0.8, 20_000)
    histogram: dict[int, int] = {}
    for sample in samples:
        bucket = bucket_of(float(sample))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    shares = [0.5, 0.9, 0.95, 0.99, 1.0]
    exact = np.quantile(samples, shares, method="inverted_cdf")
    assert quantiles(histogram, shares) == pytest.approx(list(exact), rel=0.01)


def test_nothing_has_no_quantile() -> None:
    assert quantiles({}, [0.5]) == [None]


def test_a_single_value_is_every_quantile() -> None:
    found = quantiles({bucket_of(0.25): 1}, [0.0, 0.5, 1.0])
    assert found == [pytest.approx(0.25, rel=0.01)] * 3
