"""Small ONNX graphs for the model server: right, slow, and broken at run time."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_FREE = "n"


def doubled() -> bytes:
    """y = 2 x for x of shape [-1, 4], FP32."""
    return _model([helper.make_node("Mul", ["x", "two"], ["y"])], {"two": np.array([2.0], np.float32)})


def identity(datatype: int) -> bytes:
    """y = x of one dimension, for an ONNX datatype."""
    return _model([helper.make_node("Identity", ["x"], ["y"])], datatype=datatype, shape=[_FREE])


def logarithm() -> bytes:
    """y = log x of one dimension: NaN below 0, -inf at 0."""
    return _model([helper.make_node("Log", ["x"], ["y"])], shape=[_FREE])


def broken() -> bytes:
    """Has the signature of `doubled` and fails at run time on every input: an index outside its tensor."""
    nodes = [
        # The index is 1000 + 0 × rows, which no optimizer can know before the run.
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "far"], ["indices"]),
        helper.make_node("Gather", ["x", "indices"], ["picked"], axis=1),
        helper.make_node("MatMul", ["picked", "spread"], ["y"]),
    ]
    zero, far = np.array([0], np.int64), np.array([1000], np.int64)
    return _model(nodes, {"zero": zero, "far": far, "spread": np.ones((2, 4), np.float32)})


def slow(size: int = 512, times: int = 40) -> bytes:
    """y = x after `times` products of `size` × `size` matrices that cannot be optimized away."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)]
    nodes += [helper.make_node("Mul", ["m", "sum"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", "m"], [f"m{i + 1}"]) for i in range(times)]
    nodes += [
        helper.make_node("ReduceMax", [f"m{times}"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _model(nodes, {"m": np.eye(size, dtype=np.float32), "zero": np.array(0.0, np.float32)})


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    *,
    datatype: int = TensorProto.FLOAT,
    shape: list[str | int] | None = None,
) -> bytes:
    x, y = (helper.make_tensor_value_info(name, datatype, shape or [_FREE, 4]) for name in "xy")
    values = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
