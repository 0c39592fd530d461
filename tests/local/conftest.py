"""Fixtures of the local cluster's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from golang import tiny_module

from mlk8s.local import build
from mlk8s.local.cache import locked
from mlk8s.local.pins import GoBuild
from mlk8s.local.progress import SILENT


@pytest.fixture(scope="session")
def compiled_library(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Path:
    """Go's caches with the standard library in them; not the machine's, which an `mlk8s up` may remove.

    The processes of one run share them: the first compiles, the others wait.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"go-{testrun_uid}"
    with locked(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        if not (folder / "out/tiny").exists():
            (folder / "out").mkdir(parents=True)
            patch.setenv("MLK8S_CACHE", str(folder))
            module = tiny_module(folder / "tiny")
            build.build("tiny 0", GoBuild(str(module), {"tiny": "."}), folder / "out", SILENT)
    return folder / "go"


@pytest.fixture
def go_cache(compiled_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own that shares Go's, so that the standard library is not compiled each time."""
    own = tmp_path / "cache"
    own.mkdir(exist_ok=True)
    (own / "go").symlink_to(compiled_library)
    monkeypatch.setenv("MLK8S_CACHE", str(own))
