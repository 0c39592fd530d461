"""Make digits-1.onnx, digits-2.onnx and three.json anew: python manifests/models/make.py

Both models are a linear map of the 64 pixels (0..16, row by row) of scikit-learn's digits data set, fitted in
closed form on three quarters of it; the weights are rounded, so that every machine writes the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits


def files() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    digits = load_digits()
    pixels, labels = digits.data, digits.target
    seen = np.arange(len(labels)) % 4 != 0
    means = np.array([pixels[seen][labels[seen] == digit].mean(axis=0) for digit in range(10)])  # [10, 64]
    fisher = _discriminant(pixels[seen] - means[labels[seen]], means)
    three = {"name": "pixels", "datatype": "FP32", "shape": [1, 64]}
    data = [int(pixel) for pixel in pixels[labels == 3][0]]
    return {
        "digits-1.onnx": _onnx(means, means),  # the nearest mean
        "digits-2.onnx": _onnx(fisher, means),
        "three.json": json.dumps({"inputs": [{**three, "data": data}]}).encode() + b"\n",
    }


def _discriminant(residuals: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Fisher's linear discriminant; a ridge on the pooled covariance, as some pixels are always 0."""
    covariance = residuals.T @ residuals / len(residuals) + 2.56 * np.eye(len(residuals.T))
    return np.linalg.solve(covariance, means.T).T  # [10, 64]


def _onnx(weights: np.ndarray, means: np.ndarray) -> bytes:
    """Scores = weights · pixels + bias, where halfway between two means both score the same."""
    bias = -0.5 * (weights * means).sum(axis=1)  # [10]
    matrix, bias = (np.round(part, 4).astype(np.float32) for part in (weights.T, bias))
    nodes = [
        helper.make_node("Gemm", ["pixels", "matrix", "bias"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["digit"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 64])],
        [
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10]),
        ],
        [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    for name, content in files().items():
        (Path(__file__).parent / name).write_bytes(content)
