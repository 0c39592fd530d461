"""The user ends it: what a Ctrl-C leaves behind, and a pipe that was closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ReaderGone(Exception):
    """Whoever read our output has closed it."""


@contextmanager
def leaves(state: str | Callable[[], str]) -> Iterator[None]:
    """Say what is left when the block is interrupted.

    Args:
        state: what the cluster or the disk has then, and how to go on; or what looks for it then.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        words = str(error) or (state if isinstance(state, str) else state())
        raise KeyboardInterrupt(f"interrupted: {words}") from None
