"""`python3 -m mlk8s.pipeline`: run the function, publish its result, say so in one JSON line."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from mlk8s.errors import DigestMismatch, Mlk8sError, SpecError, UsageError
from mlk8s.pipeline.config import PipelineConfig
from mlk8s.pipeline.inputs import fetch_inputs
from mlk8s.pipeline.source import UserError, call
from mlk8s.pipeline.tables import parts, to_table
from mlk8s.storage.artifacts import VersionExists
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.datasets import DatasetRef, publish_dataset
from mlk8s.storage.endings import leave_message, one_line, tell_end
from mlk8s.storage.location import Location
from mlk8s.storage.parts import VersionInParts

RETRY, USER_ERROR, TERMINATED = 1, 64, 143


class _TerminatedError(BaseException):
    """SIGTERM came; no `except Exception` of the user's may swallow it."""


def run(config: PipelineConfig) -> DatasetRef | None:
    """Call the function and publish what it returns; None for a part while others are still missing.

    Raises:
        UserError: the function or its result is wrong.
        VersionExists: the version is there with other content.
        StorageError: object storage refused or did not answer.
    """
    # Before the function, which may run long: without credentials all its work would be lost.
    urls = [config.output, *(item.url for item in config.inputs.values())]
    storage = StorageConfig.from_env() if any(Location.parse(url).scheme == "s3" for url in urls) else None
    metadata: dict[str, Any] = {
        "job": config.job,
        "entry": config.entry,
        "parameters": dict(config.parameters),
    }
    version, arguments = None, dict(config.parameters)
    if config.index is not None:
        version = VersionInParts(config.output, config.version, config.run, config.count, storage)
        if version.has(config.index):
            return version.commit(config.index)
        arguments |= {"index": config.index, "count": config.count}
    with tempfile.TemporaryDirectory() as folder:
        values, lineage = fetch_inputs(config.inputs, Path(folder), storage)
        table = to_table(call(config.source, config.entry, {**arguments, **values}))
    if lineage:
        metadata["inputs"] = lineage
    if version is not None and config.index is not None:
        version.write(config.index, table, metadata)
        return version.commit(config.index)
    return publish_dataset(
        parts(table), config.output, version=config.version, metadata=metadata, config=storage
    )


def main() -> int:
    """Run once; returns the exit code, see `mlk8s.pipeline`."""
    signal.signal(signal.SIGTERM, _terminate)
    started = time.monotonic()
    try:
        config = PipelineConfig.from_env(os.environ, datetime.now(UTC))
        done = run(config)
    except _TerminatedError:
        tell_end("Terminated by SIGTERM; the version is there whole, or not at all")
        return TERMINATED
    except Mlk8sError as error:
        no_retry = isinstance(error, (UserError, VersionExists, UsageError, SpecError, DigestMismatch))
        leave_message(one_line(error))
        print(str(error), file=sys.stderr, flush=True)  # noqa: T201  the container's log
        return USER_ERROR if no_retry else RETRY
    told: dict[str, Any] = _published(done) if done is not None else {"event": "part", "index": config.index}
    told["seconds"] = round(time.monotonic() - started, 3)
    print(json.dumps(told), flush=True)  # noqa: T201  what the caller reads from the log
    leave_message(json.dumps(told))
    return 0


def _published(done: DatasetRef) -> dict[str, Any]:
    fields = done.manifest.fields
    return {
        "event": "published" if done.created else "published_before",
        "url": done.url,
        "version": done.version,
        "digest": done.digest,
        "rows": fields["rows"],
        "columns": len(fields["columns"]),
    }


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


if __name__ == "__main__":
    sys.exit(main())
