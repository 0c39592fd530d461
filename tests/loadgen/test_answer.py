from __future__ import annotations

import orjson
import pytest

from mlk8s.loadgen.answer import classify, rows_of


def body(**output: object) -> bytes:
    tensor = {"name": "y", "datatype": "FP32", "shape": [2, 3], "data": [0.0] * 6} | output
    return orjson.dumps({"model_name": "m", "outputs": [tensor]})


@pytest.mark.parametrize(
    "content", [body(), body(data=[[1, 2, 3], [4, 5, 6]]), body(shape=[2], data=["a", "b"])]
)
def test_right_answers(content: bytes) -> None:
    assert classify(200, content, 2) == "ok"
    assert classify(200, content, None) == "ok"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<html>", b"[]", b"{}", b'{"outputs": []}', b'{"outputs": [1]}', body(data=[1]),
        body(shape="x"), body(name=None), body(shape=[-2, -3]), body(shape=[3, 2]),
        b'{"outputs": [{"name": "y", "data": NaN}]}',
    ],
)  # fmt: skip
def test_wrong_answers(content: bytes) -> None:
    assert classify(200, content, 2) == "wrong_answer"


def test_statuses() -> None:
    found = [classify(status, body(), 2) for status in (500, 503, 404, 429, 302, 204)]
    assert found == ["http_5xx", "http_5xx", "http_4xx", "http_4xx", "http_other", "http_other"]


def test_rows_of_a_request() -> None:
    assert rows_of(b'{"inputs": [{"name": "x", "shape": [32, 4], "datatype": "FP32", "data": []}]}') == 32
    for wrong in (b"", b"[1]", b"{}", b'{"inputs": []}', b'{"inputs": [1]}'):
        with pytest.raises(ValueError, match=r"JSON|V2"):
            rows_of(wrong)
