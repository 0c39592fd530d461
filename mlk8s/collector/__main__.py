"""`python3 -m mlk8s.collector`: one round a second until SIGTERM, then a last one that ships everything.

A thread looks for new files more often than that, and opens them: a pod may live, and go, between two rounds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from mlk8s.collector.config import CollectorConfig
from mlk8s.collector.health import serve
from mlk8s.collector.ship import Shipper
from mlk8s.errors import Mlk8sError, StorageError
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.location import Location
from mlk8s.storage.store import Store

_ROUND = 1.0  # seconds between two rounds
_LOOK = 0.25  # seconds between two looks for new files
_PATIENCE = 30.0  # most seconds between two tries while storage does not answer


def main() -> int:
    """Collect until SIGTERM; returns the exit code."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        config = CollectorConfig.from_env(os.environ)
        storage = StorageConfig.from_env() if Location.parse(config.output).scheme == "s3" else None
        shipper = _begin(config, Store(config.output, storage), ending)
    except Mlk8sError as error:
        print(str(error), file=sys.stderr, flush=True)  # noqa: T201  the container's log
        return 1
    if shipper is None:
        return 0
    serve(config.port, shipper.counters)
    print(f"collecting {config.root} of {config.node} into {config.output}", flush=True)  # noqa: T201
    watcher = threading.Thread(target=_watch, args=(shipper, ending), daemon=True)
    watcher.start()
    pause = _ROUND
    while not ending.wait(pause):
        pause = _ROUND if _round(shipper) else min(_PATIENCE, 2 * pause)
    watcher.join()
    done = _round(shipper, everything=True)
    shipper.close()
    return 0 if done else 1


def _begin(config: CollectorConfig, store: Store, ending: threading.Event) -> Shipper | None:
    """Read the checkpoint; without it every line would be shipped again, so storage is waited for."""
    pause = _ROUND
    while True:
        try:
            return Shipper(config, store)
        except StorageError as error:
            print(f"waiting for storage: {error}", file=sys.stderr, flush=True)  # noqa: T201
        if ending.wait(pause):
            return None
        pause = min(_PATIENCE, 2 * pause)


def _watch(shipper: Shipper, ending: threading.Event) -> None:
    while not ending.wait(_LOOK):
        try:
            shipper.look()
        except OSError:
            shipper.counters.errors += 1  # the next round meets it, and says so


def _round(shipper: Shipper, *, everything: bool = False) -> bool:
    try:
        shipper.round(time.monotonic(), everything=everything)
    except (StorageError, OSError) as error:
        shipper.counters.errors += 1
        print(f"a round failed, the next one goes on from here: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
