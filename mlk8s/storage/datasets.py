"""Data sets in object storage: versioned Parquet, read whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mlk8s.errors import SpecError
from mlk8s.storage.artifacts import latest, publish, read_file, read_manifest, version_name
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.location import Location
from mlk8s.storage.manifest import Manifest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A published version; `created` is False when the same content was there before."""

    url: str
    version: str
    digest: str
    manifest: Manifest = field(repr=False)
    created: bool


class Dataset(NamedTuple):
    """A version that was read: `table, manifest = read_dataset(...)`."""

    table: pa.Table
    manifest: Manifest


def publish_dataset(
    tables: pa.Table | Sequence[pa.Table],
    url: str,
    *,
    version: str,
    metadata: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    config: StorageConfig | None = None,
) -> DatasetRef:
    """Publish tables of one schema as the Parquet parts of a version.

    Args:
        tables: one table, or the parts in order.
        url: the data set without its version, `s3://features/digits`.
        version: immutable; publishing the same content again is no error.
        metadata: anything worth keeping, of JSON values.

    Raises:
        SpecError: no table, differing schemas, or a malformed URL or version.
        VersionExists: the version is there with other content, and `exist_ok` is False.
        StorageError: object storage refused or did not answer.
    """
    parts = list(tables) if isinstance(tables, Sequence) else [tables]
    if not parts:
        raise SpecError("A data set needs at least one table.", where=url)
    schema = parts[0].schema
    for number, part in enumerate(parts):
        if not part.schema.equals(schema):
            raise SpecError(
                f"Part {number} has another schema than part 0.", where=url, expected=str(schema.names)
            )
    columns = [{"name": column.name, "type": str(column.type)} for column in schema]
    rows = sum(part.num_rows for part in parts)
    published = publish(
        url,
        version_name(version),
        {f"part-{number:05d}.parquet": to_parquet(part) for number, part in enumerate(parts)},
        format="parquet",
        fields={"rows": rows, "columns": columns, "metadata": dict(metadata or {})},
        exist_ok=exist_ok,
        config=config,
    )
    manifest = published.manifest
    return DatasetRef(published.url, manifest.version, manifest.digest, manifest, published.created)


def read_dataset(url: str, version: str | None = None, *, config: StorageConfig | None = None) -> Dataset:
    """Read a version whole, every digest checked.

    Args:
        url: the data set without its version.
        version: None takes the one that was committed last.

    Raises:
        ObjectNotFound: no such version.
        DigestMismatch: a part is not the one that was published.
        StorageError: object storage refused, or this is no Parquet data set.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = Location.parse(url)
    chosen = version_name(version) if version else latest(root, config)
    manifest = read_manifest(root / chosen, config)
    if manifest.format != "parquet":
        raise SpecError(
            f"This is a version in format {manifest.format!r}.", where=f"{root}/{chosen}", expected="parquet"
        )
    parts = [
        pq.read_table(io.BytesIO(read_file(root / chosen, manifest, file, config))) for file in manifest.files
    ]
    return Dataset(pa.concat_tables(parts), manifest)


def to_parquet(table: pa.Table) -> bytes:
    """Return the table as a Parquet file; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
