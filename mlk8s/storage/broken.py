"""A model that is broken on purpose, to try out what a rollback does."""

from __future__ import annotations


def broken_onnx(features: int, *, classes: int = 10) -> bytes:
    """An ONNX classifier that loads, gets ready, and fails at run time on every request.

    Its signature is that of a scikit-learn classifier exported without a ZipMap: `X` FP32 [-1, features] →
    `label` INT64 [-1], `probabilities` FP32 [-1, classes]. Inside, it picks a column that is not there, as a
    model does that was trained on one feature more than the service gets.

    Args:
        features: columns of the input.
        classes: columns of the probabilities.
    """
    from onnx import TensorProto, helper

    rows = "rows"
    taken = helper.make_tensor_value_info("X", TensorProto.FLOAT, [rows, features])
    given = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [rows, classes]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("missing", TensorProto.INT64, [1], [features]),
        helper.make_tensor("weights", TensorProto.FLOAT, [2, classes], [1.0] * 2 * classes),
    ]
    nodes = [
        # The index comes from the input's shape, so that no optimizer can find the fault before a request.
        helper.make_node("Shape", ["X"], ["shape"]),
        helper.make_node("Mul", ["shape", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "missing"], ["columns"]),
        helper.make_node("Gather", ["X", "columns"], ["picked"], axis=1),
        helper.make_node("MatMul", ["picked", "weights"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(nodes, "broken", [taken], given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
