"""Tells a right answer from a wrong one: the Open Inference Protocol v2 body of an infer response."""

from __future__ import annotations

from math import prod
from typing import Any

import orjson

OUTCOMES = ("ok", "wrong_answer", "http_5xx", "http_4xx", "http_other", "timeout", "connection", "shed")
"""Every outcome of a request; shed: the generator could not send it in its time-out, all connections were
waiting."""


def rows_of(body: bytes) -> int | None:
    """Return the batch size of a V2 infer request, or None when the body does not tell.

    Raises:
        ValueError: when the body is not a V2 infer request.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(item, dict) for item in inputs):
        raise ValueError('expected a V2 infer request: {"inputs": [{"name", "shape", "datatype", "data"}]}')
    shape = inputs[0].get("shape")
    return shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) else None


def classify(status: int, content: bytes | None, rows: int | None) -> str:
    """Return the outcome of an answered request: ok, wrong_answer, http_4xx, http_5xx or http_other.

    Args:
        status: HTTP status code.
        content: response body.
        rows: batch size of the request; the first output has to have as many rows. None: not checked.
    """
    if status != 200:
        return f"http_{status // 100}xx" if 400 <= status < 600 else "http_other"
    try:
        answer = orjson.loads(content or b"")
    except orjson.JSONDecodeError:
        return "wrong_answer"
    outputs = answer.get("outputs") if isinstance(answer, dict) else None
    if not isinstance(outputs, list) or not outputs:
        return "wrong_answer"
    return "ok" if all(_is_tensor(output, rows) for output in outputs) else "wrong_answer"


def _is_tensor(output: Any, rows: int | None) -> bool:
    if not isinstance(output, dict) or not isinstance(output.get("name"), str):
        return False
    shape, data = output.get("shape"), output.get("data")
    if not isinstance(shape, list) or not isinstance(data, list):
        return False
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        return False
    if rows is not None and shape and shape[0] != rows:
        return False
    # V2 allows nested as well as flat data; the outermost length of nested data is the first size.
    return len(data) == prod(shape) or (bool(shape) and len(data) == shape[0])
