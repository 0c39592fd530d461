"""Streams of counts for the tests of canary evidence."""

from __future__ import annotations

import numpy as np

from mlk8s.assess.evidence import Block, Counts

SECONDS = 10.0


def block(
    number: int, *, requests: int = 100, errors: int = 0, slow: int = 0, stable: int = 100,
    stable_errors: int = 0, weight: int = 50, missing: bool = False,
) -> Block:  # fmt: skip
    """Return block `number`, counting from 0."""
    canary = Counts(requests, errors, {"p99": slow})
    return Block(
        number * SECONDS, SECONDS, weight, canary, Counts(stable, stable_errors, {"p99": 0}), missing=missing
    )


def drawn(
    rng: np.random.Generator, blocks: int, *, error: float, stable: float = 0.002, requests: int = 40,
    cluster: int = 1,
) -> list[Block]:  # fmt: skip
    """Return blocks whose requests fail at random, `cluster` of them together."""
    found = []
    for number in range(blocks):
        all_ = [cluster * int(rng.poisson(requests / cluster)) for _ in range(2)]
        bad = [
            cluster * int(rng.binomial(count // cluster, share))
            for count, share in zip(all_, (error, stable), strict=True)
        ]
        found.append(block(number, requests=all_[0], errors=bad[0], stable=all_[1], stable_errors=bad[1]))
    return found
