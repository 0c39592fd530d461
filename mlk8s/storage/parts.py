"""One version of a data set that many publishers write, a part each.

    ROOT/VERSION/RUN/part-00003.parquet      written once: the first attempt of a part decides what it is
    ROOT/VERSION/RUN/records/00003.json      written when the part is there
    ROOT/VERSION/manifest.json               the one commit

There is no coordinator. Whoever has written its record looks whether all are there and, if so, commits; the
storage is consistent, so the one who is last sees all of them. Two who see all at once put the manifest
under the same condition, and one of them wins. A publisher that dies between its record and the commit is
retried, finds its part there, and looks again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlk8s.errors import SpecError
from mlk8s.storage.artifacts import VersionExists, commit, committed, version_name
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.datasets import DatasetRef, to_parquet
from mlk8s.storage.failures import ObjectNotFound
from mlk8s.storage.location import Location
from mlk8s.storage.manifest import File, Manifest
from mlk8s.storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa


class VersionInParts:
    """The parts of one version that one run writes.

    Args:
        url: the data set without its version.
        run: the same for every publisher of the run, and different for every other run.
        count: how many parts there will be.
    """

    def __init__(self, url: str, version: str, run: str, count: int, config: StorageConfig | None) -> None:
        self._place = Location.parse(url) / version_name(version)
        self._name, self._version = Location.parse(url).name, version
        self._run, self._count = run, count
        self._store = Store(self._place, config)

    def has(self, index: int) -> bool:
        """Return whether an earlier attempt has written a part, or the run has committed the version."""
        there = committed(self._store)
        return (there is not None and there.run == self._run) or self._store.exists(self._record(index))

    def write(self, index: int, table: pa.Table, metadata: Mapping[str, Any]) -> None:
        """Write a part, unless an earlier attempt has, and then its record.

        Args:
            metadata: of JSON values; the version keeps that of its first part.
        """
        import pyarrow.parquet as pq

        data, key = to_parquet(table), f"{self._run}/{_file(index)}"
        if not self._store.put_if_absent(key, data):
            data = self._store.get(key)
        found = pq.ParquetFile(io.BytesIO(data))
        record = {
            "path": _file(index),
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "rows": found.metadata.num_rows,
            "columns": [{"name": field.name, "type": str(field.type)} for field in found.schema_arrow],
            "metadata": dict(metadata),
        }
        self._store.put(self._record(index), json.dumps(record).encode())

    def commit(self, index: int) -> DatasetRef | None:
        """Commit the version if every part is there; None while some are missing.

        Args:
            index: the caller's part, which is there.

        Raises:
            SpecError: parts differ in their columns.
            VersionExists: another run has committed the version, with other content.
            StorageError: object storage refused or did not answer.
        """
        there = committed(self._store)
        if there is None:
            records = self._records()
            if records is None:
                return None
            there = commit(self._store, self._manifest(records))
        if there.run != self._run:
            mine = json.loads(self._store.get(self._record(index)))
            same = File(mine["path"], mine["sha256"], mine["size"]) in there.files
            if not same or len(there.files) != self._count:
                raise VersionExists(str(self._place), there)
        return self._ref(there, created=there.run == self._run)

    def _record(self, index: int) -> str:
        return f"{self._run}/records/{index:05d}.json"

    def _records(self) -> list[dict[str, Any]] | None:
        """Return every part's record; None where one is missing, or gone because another has committed."""
        keys = [info.key for info in self._store.objects(f"{self._run}/records/")]
        if len(keys) < self._count:
            return None
        try:
            return [json.loads(self._store.get(key)) for key in keys]
        except ObjectNotFound:
            return None

    def _manifest(self, records: list[dict[str, Any]]) -> Manifest:
        columns = records[0]["columns"]
        for record in records:
            if record["columns"] != columns:
                names = [f"{item['name']}: {item['type']}" for item in columns]
                raise SpecError(
                    f"{record['path']} has other columns than {records[0]['path']}.",
                    where=str(self._place),
                    expected=", ".join(names),
                )
        return Manifest.make(
            name=self._name,
            version=self._version,
            format="parquet",
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            run=self._run,
            files=tuple(File(item["path"], item["sha256"], item["size"]) for item in records),
            fields={
                "rows": sum(item["rows"] for item in records),
                "columns": columns,
                "metadata": records[0]["metadata"] | {"parts": self._count},
            },
        )

    def _ref(self, manifest: Manifest, *, created: bool) -> DatasetRef:
        return DatasetRef(str(self._place), manifest.version, manifest.digest, manifest, created)


def _file(index: int) -> str:
    return f"part-{index:05d}.parquet"
