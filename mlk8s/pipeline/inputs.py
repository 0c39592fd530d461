"""The data versions that a pipeline reads: fetched whole, every digest checked, and named in its output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlk8s.errors import UsageError
from mlk8s.storage.artifacts import download
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.location import Location
from mlk8s.storage.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Input:
    """One version: where it is, and the digest its manifest must have (None: whichever is there)."""

    url: str
    digest: str | None = None


def parse_inputs(text: str) -> dict[str, Input]:
    """Read PIPELINE_INPUTS: a JSON object, name → {"url", "digest"}.

    Raises:
        UsageError: it is not that.
        SpecError: an address is malformed.
    """
    try:
        values = json.loads(text or "{}")
        found = {str(name): Input(str(item["url"]), item.get("digest")) for name, item in values.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"PIPELINE_INPUTS cannot be read: {type(error).__name__}: {error}.",
            expected='a JSON object, name → {"url": ..., "digest": ...}',
        ) from None
    for item in found.values():
        if item.digest is None and Location.parse(item.url).scheme != "s3":
            raise UsageError(
                f"PIPELINE_INPUTS gives no digest for {item.url}.",
                expected="sha256:... of its manifest.json: nothing else vouches for it",
            )
    return found


def fetch_inputs(
    inputs: Mapping[str, Input], folder: Path, config: StorageConfig | None
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Fetch the versions.

    Args:
        folder: where their files go, a folder for each.

    Returns:
        What the function gets by parameter name (a pyarrow Table of a Parquet version, else the Path of its
        folder), and what the output's manifest says of them (url and digest by name).

    Raises:
        StorageError: a version is not there, is another one, or cannot be reached.
    """
    values: dict[str, Any] = {}
    lineage: dict[str, dict[str, str]] = {}
    for name, item in inputs.items():
        manifest = download(item.url, folder / name, digest=item.digest, config=config)
        values[name] = _value(manifest, folder / name)
        lineage[name] = {"url": item.url, "digest": manifest.digest}
    return values, lineage


def _value(manifest: Manifest, folder: Path) -> Any:
    if manifest.format != "parquet":
        return folder
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(folder / file.path) for file in manifest.files])
