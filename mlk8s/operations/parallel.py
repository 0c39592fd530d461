"""Several requests at once, over several connections, the first refusal ending the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CONNECTIONS = 8


def in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], connections: int = CONNECTIONS
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as they come.

    Raises:
        Exception: the first one that `work` raises; what has not begun then never does.
    """
    with ThreadPoolExecutor(connections, "mlk8s-request") as pool:
        running = {pool.submit(work, item): item for item in items}
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()
