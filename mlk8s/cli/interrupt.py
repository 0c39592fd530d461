"""The user ends it: what a Ctrl-C leaves behind, and a pipe that was closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ReaderGone(Exception):
    """Whoever read our output has closed it."""


@contextmanager
def leaves(state: str) -> Iterator[None]:
    """Say what is left when the block is interrupted.

    Args:
        state: what the cluster or the disk has then, and how to go on.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"interrupted: {str(error) or state}") from None
