"""Versions on a real S3 server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from s3 import S3

from mlk8s.errors import DigestMismatch, SpecError, StorageError
from mlk8s.storage.artifacts import (
    VersionExists,
    download,
    latest,
    publish,
    read_file,
    read_manifest,
    versions,
)
from mlk8s.storage.failures import AccessDenied, ObjectNotFound, StorageUnreachable
from mlk8s.storage.store import Store


@pytest.fixture
def root(s3: S3) -> str:
    return f"s3://{s3.bucket()}/thing"


def keys(s3: S3, root: str) -> list[str]:
    return [info.key for info in Store(root, s3.config).objects()]


def test_a_version_is_read_back_whole(s3: S3, root: str, tmp_path: Path) -> None:
    big = os.urandom(9_000_000)  # more than one piece, more than one part of a multipart upload
    (tmp_path / "big").write_bytes(big)
    done = publish(
        root, "1", {"a.bin": b"aa", "sub/b.bin": tmp_path / "big"}, format="test",
        fields={"metadata": {"score": 0.5}}, config=s3.config,
    )  # fmt: skip
    assert done.created and done.url == f"{root}/1"
    manifest = read_manifest(f"{root}/1", s3.config)
    assert manifest == done.manifest and manifest.digest == done.manifest.digest
    assert manifest.name == "thing" and manifest.metadata == {"score": 0.5}
    target = tmp_path / "target"
    download(f"{root}/1", target, digest=manifest.digest, config=s3.config)
    assert (target / "sub/b.bin").read_bytes() == big
    assert sorted(p.name for p in target.iterdir()) == ["a.bin", "manifest.json", "sub"]


def test_versions_never_change(s3: S3, root: str) -> None:
    first = publish(root, "1", {"f": b"one"}, format="test", config=s3.config)
    again = publish(root, "1", {"f": b"one"}, format="test", config=s3.config)
    assert not again.created and again.manifest == first.manifest
    with pytest.raises(VersionExists, match="other content"):
        publish(root, "1", {"f": b"two"}, format="test", config=s3.config)
    accepted = publish(root, "1", {"f": b"two"}, format="test", exist_ok=True, config=s3.config)
    assert accepted.manifest == first.manifest
    assert len(keys(s3, root)) == 2


def test_latest_is_what_was_committed_last_and_versions_are_in_natural_order(s3: S3, root: str) -> None:
    for version in ("10", "2"):
        publish(root, version, {"f": version.encode()}, format="test", config=s3.config)
        time.sleep(1.1)  # S3 tells times to the second
    assert versions(root, s3.config) == ["2", "10"]
    assert latest(root, s3.config) == "2"


def test_of_publishers_at_once_exactly_one_wins_and_readers_never_see_a_mix(s3: S3, root: str) -> None:
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                manifest = read_manifest(f"{root}/1", s3.config)
            except ObjectNotFound:
                continue
            pair = [read_file(f"{root}/1", manifest, file, s3.config) for file in manifest.files]
            seen.append(b"".join(pair))

    results: dict[int, str] = {}
    start = threading.Barrier(3)

    def write(number: int) -> None:
        start.wait()
        content = str(number).encode()
        try:
            publish(root, "1", {"a": content, "b": content}, format="test", config=s3.config)
            results[number] = "won"
        except VersionExists:
            results[number] = "lost"

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    time.sleep(0.1)
    done.set()
    reader.join()
    [winner] = [number for number, result in results.items() if result == "won"]
    assert sorted(results.values()) == ["lost", "lost", "won"]
    assert set(seen) == {f"{winner}{winner}".encode()}
    assert len(keys(s3, root)) == 3, "the losers' files are gone"


def test_a_publisher_killed_before_the_commit_leaves_nothing_visible(s3: S3, root: str) -> None:
    code = f"""
import os, signal
from mlk8s.storage import artifacts, store
store.Store.put_if_absent = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
artifacts.publish({root!r}, "1", {{"f": b"half"}}, format="test")
"""
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, **s3.env}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(keys(s3, root)) == 1, "the file was there when it was killed"
    assert versions(root, s3.config) == []
    with pytest.raises(ObjectNotFound):
        read_manifest(f"{root}/1", s3.config)
    publish(root, "1", {"f": b"whole"}, format="test", config=s3.config)
    assert len(keys(s3, root)) == 2, "the next winner removes what the killed one left"


def test_an_interrupted_publisher_removes_its_files(
    s3: S3, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Store.put

    def interrupted(self: Store, key: str, data: bytes | Path) -> None:
        if key.endswith("/b"):
            raise KeyboardInterrupt
        whole(self, key, data)

    monkeypatch.setattr(Store, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(root, "1", {"a": b"1", "b": b"2"}, format="test", config=s3.config)
    assert keys(s3, root) == []


def test_a_changed_file_is_told_with_expected_and_found(s3: S3, root: str, tmp_path: Path) -> None:
    manifest = publish(root, "1", {"model.bin": b"right"}, format="test", config=s3.config).manifest
    Store(f"{root}/1", s3.config).put(manifest.key(manifest.files[0]), b"wrong")
    with pytest.raises(DigestMismatch) as caught:
        download(f"{root}/1", tmp_path, config=s3.config)
    assert "model.bin" in str(caught.value) and manifest.files[0].sha256 in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_another_manifest_than_expected_is_refused(s3: S3, root: str, tmp_path: Path) -> None:
    publish(root, "1", {"f": b"x"}, format="test", config=s3.config)
    with pytest.raises(DigestMismatch, match="another one"):
        download(f"{root}/1", tmp_path, digest="sha256:" + "0" * 64, config=s3.config)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_is_not_there_lists_those_that_are(s3: S3, root: str) -> None:
    publish(root, "1", {"f": b"x"}, format="test", config=s3.config)
    with pytest.raises(ObjectNotFound, match="one of 1"):
        read_manifest(f"{root}/7", s3.config)
    with pytest.raises(ObjectNotFound, match="Nothing has been published"):
        latest(f"{root}-other", s3.config)


def test_a_broken_manifest_is_told(s3: S3, root: str) -> None:
    Store(f"{root}/1", s3.config).put("manifest.json", b'{"files": [')
    with pytest.raises(StorageError, match="manifest cannot be read"):
        read_manifest(f"{root}/1", s3.config)
    Store(f"{root}/2", s3.config).put(
        "manifest.json",
        b'{"name":"a","version":"2","format":"t","created":"","files":[{"path":"../x","sha256":"0","size":1}]}',
    )
    with pytest.raises(StorageError, match="outside its version"):
        read_manifest(f"{root}/2", s3.config)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"secret_access_key": "wrong"}, "secret key"), ({"access_key_id": "nobody"}, "access key is unknown")],
)
def test_wrong_keys_are_told_as_such(s3: S3, root: str, change: dict[str, str], words: str) -> None:
    config = replace(s3.config, **change)  # type: ignore[arg-type]
    with pytest.raises(AccessDenied, match=words) as caught:
        publish(root, "1", {"f": b"x"}, format="test", config=config)
    assert str(s3.config.endpoint) in str(caught.value)
    with pytest.raises(AccessDenied):
        Store(root, config).objects()


def test_a_refused_endpoint_is_named_soon(s3: S3, root: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config = replace(s3.config, endpoint=f"http://127.0.0.1:{port}")
    started = time.monotonic()
    with pytest.raises(StorageUnreachable, match=f"127.0.0.1:{port}"):
        read_manifest(f"{root}/1", config)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("version", ["", "a/b", "..", "-x", "a" * 64, "ü"])
def test_a_version_has_a_plain_name(root: str, version: str) -> None:
    with pytest.raises(SpecError, match="cannot be a version"):
        publish(root, version, {"f": b"x"}, format="test")


def test_directories_of_this_machine_work_like_buckets(tmp_path: Path) -> None:
    root = str(tmp_path / "models" / "iris")
    publish(root, "1", {"f": b"x"}, format="test")
    with pytest.raises(VersionExists):
        publish(root, "1", {"f": b"y"}, format="test")
    manifest = read_manifest(f"{root}/1")
    assert read_file(f"{root}/1", manifest, manifest.files[0]) == b"x"
    assert versions(root) == ["1"] and latest(root) == "1"
    assert not (tmp_path / "none").exists() and versions(str(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists(), "looking makes no directories"
