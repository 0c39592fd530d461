"""The models of manifests/models: their script makes them, and the second is the better one."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import load_digits

FOLDER = Path(__file__).parents[2] / "manifests" / "models"


def test_the_script_makes_the_files_that_are_tracked() -> None:
    made = runpy.run_path(str(FOLDER / "make.py"))["files"]()
    assert {path.name for path in FOLDER.iterdir() if path.suffix in (".onnx", ".json")} == set(made)
    for name, content in made.items():
        assert (FOLDER / name).read_bytes() == content, name


@pytest.mark.parametrize(("version", "accuracy"), [(1, 0.916), (2, 0.958)])
def test_a_model_reads_the_digits_that_it_was_not_fitted_on(version: int, accuracy: float) -> None:
    digits = load_digits()
    session = onnxruntime.InferenceSession(FOLDER / f"digits-{version}.onnx")
    (found,) = session.run(["digit"], {"pixels": digits.data[::4].astype(np.float32)})
    assert (found == digits.target[::4]).mean() == pytest.approx(accuracy, abs=0.001)
    (three,) = json.loads((FOLDER / "three.json").read_text())["inputs"]
    pixels = np.array(three["data"], np.float32).reshape(three["shape"])
    assert session.run(["digit"], {"pixels": pixels})[0].tolist() == [3]
