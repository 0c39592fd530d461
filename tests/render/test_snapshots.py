"""The manifests of typical specs, as files that a person can read.

After a wanted change: `UPDATE_SNAPSHOTS=1 python -m pytest tests/render/test_snapshots.py`; read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlk8s.render.bundle import to_yaml
from tests.render.cases import rendered

SNAPSHOTS = Path(__file__).parent / "snapshots"
CASES = rendered()


@pytest.mark.parametrize("name", CASES)
def test_manifests_are_those_of_the_snapshot(name: str) -> None:
    path = SNAPSHOTS / f"{name}.yaml"
    text = to_yaml(CASES[name])
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_snapshot_has_its_case() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.yaml")} == set(CASES)
