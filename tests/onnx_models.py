"""Tiny ONNX models with answers that are known by heart."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROW = [1.0, 2.0, 3.0, 4.0]


def scaling(factor: float) -> bytes:
    """Return a model y = factor * x; x and y are FP32 of shape (-1, 4)."""
    weight = numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")
    return _model([helper.make_node("Mul", ["x", "factor"], ["y"])], [weight])


def capped(factor: float, most: float) -> bytes:
    """Return a model y = min(factor * x, most)."""
    weights = [
        numpy_helper.from_array(np.array(value, dtype=np.float32), name)
        for name, value in (("factor", factor), ("most", most))
    ]
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["wide"]),
        helper.make_node("Min", ["wide", "most"], ["y"]),
    ]
    return _model(nodes, weights)


def slow(layers: int) -> bytes:
    """Return a model y = x that multiplies by a 512 x 512 identity: 0.3 ms a layer for 64 rows."""
    wide = np.zeros((4, 512), np.float32)
    wide[:, :4] = np.eye(4)
    weights = {"wide": wide, "identity": np.eye(512, dtype=np.float32), "narrow": wide.T.copy()}
    names = ["x", "wide_0", *(f"layer_{i}" for i in range(layers)), "y"]
    factors = ["wide", *(["identity"] * layers), "narrow"]
    nodes = [
        helper.make_node("MatMul", [before, factor], [after])
        for before, factor, after in zip(names, factors, names[1:], strict=False)
    ]
    return _model(nodes, [numpy_helper.from_array(value, name) for name, value in weights.items()])


def broken() -> bytes:
    """Return a model that loads and fails on every input of fewer than seven rows, at run time."""
    shape = numpy_helper.from_array(np.array([7, -1], dtype=np.int64), "shape")
    back = numpy_helper.from_array(np.array([-1, 4], dtype=np.int64), "back")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["wide"]),
        helper.make_node("Reshape", ["wide", "back"], ["y"]),
    ]
    return _model(nodes, [shape, back])


def greedy(gigabytes: int) -> bytes:
    """Return a model y = x that takes so much memory for an input that is not all zeros, as a warm-up is."""
    weights = {
        "rows": np.array([gigabytes * 2**26], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "columns": np.array([4], dtype=np.int64),
        "all": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], axes=[0, 1], keepdims=0),
        helper.make_node("Reshape", ["most", "all"], ["flat"]),
        helper.make_node("Sign", ["flat"], ["sign"]),
        helper.make_node("Cast", ["sign"], ["whole"], to=onnx.TensorProto.INT64),
        helper.make_node("Mul", ["whole", "rows"], ["wanted"]),
        helper.make_node("Add", ["wanted", "one"], ["height"]),
        helper.make_node("Concat", ["height", "columns"], ["shape"], axis=0),
        helper.make_node("ReduceMax", ["x"], ["row"], axes=[0], keepdims=1),
        helper.make_node("Expand", ["row", "shape"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["peak"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["peak", "row"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _model(nodes, [numpy_helper.from_array(value, name) for name, value in weights.items()])


def two_inputs() -> bytes:
    """Return a model sum = a + b, FP32 and INT64 of shape (-1,)."""
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("b", TensorProto.INT64, ["n"]),
    ]
    nodes = [
        helper.make_node("Cast", ["b"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["a", "real"], ["sum"]),
    ]
    outputs = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n"])]
    return _bytes(helper.make_graph(nodes, "two", inputs, outputs))


def _model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    return _bytes(helper.make_graph(nodes, "one", [x], [y], weights))


def _bytes(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=False)
    return bytes(model.SerializeToString())
