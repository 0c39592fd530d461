"""The cache: nothing half-made is ever found in it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from mlk8s.errors import LocalClusterError
from mlk8s.local import cache


def test_its_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLK8S_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg/mlk8s"
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "own"))
    assert cache.cache_dir() == tmp_path / "own"
    assert (tmp_path / "own").is_dir()


def test_what_is_made_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "etcd/3.6"
    with cache.made_whole(target) as folder:
        folder.mkdir()
        (folder / "etcd").write_text("binary")
        assert not target.exists()
    assert (target / "etcd").read_text() == "binary"
    assert [path.name for path in target.parent.iterdir()] == ["3.6"]


def test_what_fails_or_is_killed_is_never_believed(tmp_path: Path) -> None:
    target = tmp_path / "etcd"
    leftover = tmp_path / ".etcd.unfinished"
    leftover.mkdir()
    (leftover / "of a killed process").touch()
    with pytest.raises(KeyboardInterrupt), cache.made_whole(target) as folder:
        assert not folder.exists()
        folder.mkdir()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(LocalClusterError, match="No space left on device") as raised,
        cache.made_whole(tmp_path / "x") as path,
    ):
        path.write_text("part of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "MLK8S_CACHE" in (raised.value.next_step or "")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(LocalClusterError, match="Not a directory"):
        cache.cache_dir()


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with cache.locked(tmp_path / "lock", waiting=waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with cache.locked(tmp_path / "lock"):
        thread.start()
        assert waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert cache.architecture() == "arm64"
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(LocalClusterError, match="riscv64"):
        cache.architecture()


def test_text_digests_tell_parts_apart() -> None:
    assert cache.text_digest("a", "bc") != cache.text_digest("ab", "c")
    assert cache.text_digest("a") == cache.text_digest("a")
