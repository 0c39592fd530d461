"""Fixtures of the local cluster's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlk8s.local.cache import cache_dir

_REAL_CACHE = cache_dir()


@pytest.fixture
def go_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own that shares Go's, so that the standard library is not compiled each time."""
    own = tmp_path / "cache"
    own.mkdir(exist_ok=True)
    shared = _REAL_CACHE / "go"
    shared.mkdir(exist_ok=True)
    (own / "go").symlink_to(shared)
    monkeypatch.setenv("MLK8S_CACHE", str(own))
