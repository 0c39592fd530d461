"""How often a number changes its direction: what flapping is counted by."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise


def reversals(counts: Iterable[int]) -> int:
    """Return how often rising counts begin to fall, or falling ones to rise."""
    moves = [after > before for before, after in pairwise(counts) if after != before]
    return sum(one != other for one, other in pairwise(moves))
