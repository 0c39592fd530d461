"""A version in parts: committed once, by whoever is last, whatever dies in between."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from mlk8s.errors import SpecError
from mlk8s.storage.artifacts import VersionExists, versions
from mlk8s.storage.datasets import publish_dataset, read_dataset
from mlk8s.storage.parts import VersionInParts


def table(index: int, column: str = "x") -> pa.Table:
    return pa.table({column: [index, 10 * index]})


def version(root: Path, run: str = "run", count: int = 3) -> VersionInParts:
    return VersionInParts(str(root / "data"), "one", run, count, None)


def test_the_last_part_commits_all(tmp_path: Path) -> None:
    for index in (2, 0):
        part = version(tmp_path)
        part.write(index, table(index), {"job": "j"})
        assert part.commit(index) is None
        assert versions(str(tmp_path / "data")) == []
    last = version(tmp_path)
    last.write(1, table(1), {"job": "j"})
    done = last.commit(1)
    assert done is not None and done.created
    found, manifest = read_dataset(str(tmp_path / "data"), "one")
    assert found["x"].to_pylist() == [0, 0, 1, 10, 2, 20]
    assert manifest.metadata == {"job": "j", "parts": 3}
    assert not list(tmp_path.rglob("records/*.json"))


def test_a_part_that_died_before_the_commit_only_looks_again(tmp_path: Path) -> None:
    for index in range(3):
        version(tmp_path).write(index, table(index), {})
    again = version(tmp_path)
    assert again.has(1)
    done = again.commit(1)
    assert done is not None and done.manifest.fields["rows"] == 6
    assert version(tmp_path).has(0)
    told = version(tmp_path).commit(0)
    assert told is not None and told.digest == done.digest


def test_the_first_attempt_of_a_part_decides_what_it_is(tmp_path: Path) -> None:
    version(tmp_path).write(0, table(0), {})
    (record,) = tmp_path.rglob("records/*.json")
    record.unlink()
    version(tmp_path).write(0, table(7), {})
    for index in (1, 2):
        version(tmp_path).write(index, table(index), {})
    version(tmp_path).commit(2)
    assert read_dataset(str(tmp_path / "data"), "one").table["x"].to_pylist()[:2] == [0, 0]


def test_many_at_once_commit_once(tmp_path: Path) -> None:
    count, start = 8, threading.Barrier(8)
    digests: list[str] = []

    def work(index: int) -> None:
        part = version(tmp_path, count=count)
        part.write(index, table(index), {})
        start.wait()
        done = part.commit(index)
        if done is not None:
            digests.append(done.digest)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests and len(set(digests)) == 1
    assert read_dataset(str(tmp_path / "data"), "one").table.num_rows == 16


def test_parts_with_other_columns_are_refused(tmp_path: Path) -> None:
    version(tmp_path, count=2).write(0, table(0), {})
    other = version(tmp_path, count=2)
    other.write(1, table(1, "y"), {})
    with pytest.raises(SpecError, match=r"part-00001\.parquet has other columns than part-00000\.parquet"):
        other.commit(1)


def test_another_run_of_the_same_content_is_no_error_and_of_other_content_is(tmp_path: Path) -> None:
    for index in range(3):
        part = version(tmp_path)
        part.write(index, table(index), {})
        part.commit(index)
    again = version(tmp_path, run="later")
    again.write(1, table(1), {})
    done = again.commit(1)
    assert done is not None and not done.created
    differs = version(tmp_path, run="third")
    differs.write(1, table(5), {})
    with pytest.raises(VersionExists):
        differs.commit(1)


def test_a_whole_version_in_the_way_is_named(tmp_path: Path) -> None:
    made = publish_dataset(table(0), str(tmp_path / "data"), version="one")
    assert "manifest" not in repr(made) and made.digest in repr(made)  # a notebook shows what counts
    part = version(tmp_path, count=1)
    assert not part.has(0)
    part.write(0, table(4), {})
    with pytest.raises(VersionExists):
        part.commit(0)
    assert json.loads((tmp_path / "data" / "one" / "manifest.json").read_text())["rows"] == 2
