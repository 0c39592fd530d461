"""Fixtures of the local cluster's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from golang import tiny_module

from mlk8s.local import build
from mlk8s.local.pins import GoBuild
from mlk8s.local.progress import SILENT


@pytest.fixture(scope="session")
def compiled_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Go's caches with the standard library in them; not the machine's, which an `mlk8s up` may remove."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "out").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLK8S_CACHE", str(folder))
        build.build(
            "tiny 0", GoBuild(str(tiny_module(folder / "tiny")), {"tiny": "."}), folder / "out", SILENT
        )
    return folder / "go"


@pytest.fixture
def go_cache(compiled_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own that shares Go's, so that the standard library is not compiled each time."""
    own = tmp_path / "cache"
    own.mkdir(exist_ok=True)
    (own / "go").symlink_to(compiled_library)
    monkeypatch.setenv("MLK8S_CACHE", str(own))
