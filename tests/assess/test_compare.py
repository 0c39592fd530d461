from __future__ import annotations

import numpy as np
import pytest

from mlk8s.assess.compare import Block, compare
from mlk8s.errors import UsageError
from mlk8s.loadgen.histogram import Histogram


def blocks(
    seed: int, *, scale: float = 20e6, failing: float = 0.0, count: int = 30, shared: float = 0.0
) -> list[Block]:
    """Blocks of 200 log-normal latencies around `scale` ns; `shared` moves all of a block together."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        middle = scale * np.exp(shared * random.standard_normal())
        latencies = middle * np.exp(0.5 * random.standard_normal(200))
        failed = random.random(200) < failing
        histogram = Histogram()
        for nanoseconds in latencies[~failed].astype(int).tolist():
            histogram.add(nanoseconds)
        made.append(Block(histogram.sparse(), 200))
    return made


def test_a_slower_run_is_worse_and_says_by_how_much() -> None:
    found = compare(blocks(1), blocks(2, scale=26e6))
    assert found.worse and found.exit_code == 1
    p50 = found.differences[0]
    assert p50.worse and p50.low is not None and p50.high is not None
    assert p50.low < 0.006 < p50.high
    assert "p50: 20" in str(found) and "WORSE" in str(found)


def test_a_faster_run_is_not_worse() -> None:
    assert not compare(blocks(1), blocks(2, scale=15e6)).worse


def test_more_errors_are_worse() -> None:
    found = compare(blocks(1, failing=0.01), blocks(2, failing=0.05))
    assert [item.name for item in found.differences if item.worse] == ["errors"]


def test_the_same_service_is_seldom_called_worse() -> None:
    # 1 % of wrong alarms is asked for; of 100 pairs with noise that whole blocks share, 1 is expected.
    alarms = sum(
        compare(
            blocks(seed, shared=0.2), blocks(seed + 1000, shared=0.2), latency=0.0, errors=0.0, draws=500
        ).worse
        for seed in range(100)
    )
    assert alarms <= 5


def test_noise_that_a_block_shares_is_not_taken_for_certainty() -> None:
    # Taken for independent, 6,000 requests would make 5 % certain; the blocks' own noise is larger.
    calm = compare(blocks(1), blocks(2, scale=21.5e6), latency=0.0).differences[0]
    noisy = compare(blocks(1, shared=0.3), blocks(2, scale=21.5e6, shared=0.3), latency=0.0).differences[0]
    assert calm.worse and not noisy.worse


def test_small_differences_are_allowed() -> None:
    assert compare(blocks(1), blocks(2, scale=21.5e6), latency=0.0).worse
    assert not compare(blocks(1), blocks(2, scale=21.5e6), latency=0.2).worse


def test_a_run_without_any_answer_is_worse() -> None:
    found = compare(blocks(1), [Block({}, 200)] * 30)
    assert found.worse
    assert "too little to compare" in str(found)


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(UsageError, match="the run has 4 blocks"):
        compare(blocks(1), blocks(2, count=4))
