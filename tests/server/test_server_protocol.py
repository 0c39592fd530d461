"""Requests that are right and requests that are wrong, sent to a real process; it stays alive."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

import pytest
from server_process import Server, tensor

FOUR = [1.0, 2.0, 3.0, 4.5]
HEAD = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":'
SPEC = {"name": "x", "datatype": "FP32"}
HALF = b"POST /v2/models/iris/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


def test_infer_answers_with_name_version_and_id(doubled: Server) -> None:
    body = {**tensor([FOUR], [1, 4]), "id": "q7"}
    answer = doubled.http.request("POST", f"{doubled.url}/v2/models/iris/infer", body=json.dumps(body))
    assert answer.status == 200 and answer.headers["X-Model-Version"] == "1"
    assert json.loads(answer.data) == {
        "model_name": "iris",
        "model_version": "1",
        "id": "q7",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2.0, 4.0, 6.0, 9.0]}],
    }


@pytest.mark.parametrize("base", ["", "/team/iris"])
@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/v2", "extensions"),
        ("/v2/health/live", "live"),
        ("/v2/health/ready", "ready"),
        ("/v2/models/iris", "inputs"),
        ("/v2/models/iris/versions/1", "inputs"),
        ("/v2/models/iris/ready", "ready"),
        ("/v2/models/iris/versions/1/ready", "ready"),
        ("/", "links"),
    ],
)
def test_every_path_answers_with_and_without_the_base(
    doubled: Server, base: str, path: str, key: str
) -> None:
    status, document = doubled.get(base + path)
    assert status == 200 and key in document


def test_metadata_tells_signature_version_and_data(doubled: Server) -> None:
    _, document = doubled.get("/v2/models/iris")
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert document["versions"] == ["1"] and document["platform"] == "onnxruntime_onnx"
    assert document["parameters"]["data_version"] == "d1" and document["parameters"]["digest"].startswith(
        "sha256:"
    )


@pytest.mark.parametrize(
    ("data", "shape"),
    [(FOUR, [1, 4]), ([FOUR, FOUR], [2, 4]), (FOUR * 2, [2, 4]), ([1, 2, 3, 4], [1, 4]), ([], [0, 4])],
)  # fmt: skip
def test_data_may_be_flat_or_nested(doubled: Server, data: list[Any], shape: list[int]) -> None:
    status, document = doubled.infer(tensor(data, shape))
    assert status == 200 and document["outputs"][0]["shape"] == shape


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 50_000, "not JSON"),
        (b'{"inputs":' + b"[" * 900 + b"]" * 900 + b"}", "no list of tensors"),
        (HEAD + b"[" * 900 + b"]" * 900 + b"}]}", "too deep"),
        (HEAD + b"[NaN,1,2,3]}]}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ({}, "inputs is missing"),
        ({"inputs": {}}, "no list of tensors"),
        ({"inputs": [1]}, "no list of tensors"),
        ({"inputs": []}, "input 'x' is missing; expected 'x' (FP32 [-1, 4])"),
        (tensor(FOUR, [1, 4], name="z"), "input 'z' is unknown; expected 'x'"),
        (tensor(FOUR, [1, 4], name=None), "is unknown"),
        ({"inputs": tensor(FOUR, [1, 4])["inputs"] * 2}, "given twice"),
        (tensor(FOUR, [1, 4], datatype="FP64"), "datatype is 'FP64'; expected FP32"),
        (tensor(FOUR, [1, 4], datatype="BF16"), "expected FP32"),
        (tensor(FOUR, [1, 4], datatype=3), "expected FP32"),
        (tensor(FOUR, [4]), "shape is [4]; expected [-1, 4]"),
        (tensor(FOUR, [1, 5]), "shape is [1, 5]; expected [-1, 4]"),
        (tensor(FOUR, [-1, 4]), "expected a list of sizes"),
        (tensor(FOUR, [True, 4]), "expected a list of sizes"),
        (tensor(FOUR, [1.0, 4]), "expected a list of sizes"),
        (tensor(FOUR, "x"), "expected a list of sizes"),
        (tensor(FOUR, [2, 4]), "data has 4 values; expected 8"),
        (tensor(FOUR, [1000000000, 4]), "data has 4 values; expected 4000000000"),
        (tensor([[1, 2], [3, 4]], [1, 4]), "nested as [2, 2]; expected [1, 4]"),
        (tensor([[1, 2], [3]], [1, 4]), "ragged"),
        (tensor([1, 2, 3, None], [1, 4]), "null; expected numbers"),
        (tensor([1, 2, 3, "4"], [1, 4]), "a string ('4'); expected numbers"),
        (tensor([True] * 4, [1, 4]), "a boolean"),
        (tensor([1, 2, 3, {}], [1, 4]), "an object"),
        (tensor([1, 2, 3, 1e39], [1, 4]), "outside FP32"),
        (tensor("1234", [1, 4]), "data is a string; expected a list"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]}, "data is missing"),
        ({**tensor(FOUR, [1, 4]), "outputs": [{"name": "other"}]}, "output 'other' is unknown"),
        ({**tensor(FOUR, [1, 4]), "outputs": "y"}, "outputs is not a list"),
        ({**tensor(FOUR, [1, 4]), "id": 7}, "id is not a string"),
        (tensor(FOUR, [1, 4], parameters=[]), "parameters is not an object"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_a_400_that_says_what_was_expected(
    doubled: Server, body: bytes | dict[str, Any], words: str
) -> None:
    status, document = doubled.infer(body)
    assert (status, list(document)) == (400, ["error"])
    assert words in document["error"]
    assert doubled.infer(tensor(FOUR, [1, 4]))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/v2/models/other/infer", 404, "model 'other' is unknown; expected 'iris'"),
        ("POST", "/v2/models/iris/versions/2/infer", 404, "version '2' is not served here; expected '1'"),
        ("GET", "/v2/models/iris/versions/2", 404, "expected '1'"),
        ("GET", "/v2/models/other/ready", 404, "expected 'iris'"),
        ("GET", "/v1/models", 404, "nothing at '/v1/models'"),
        ("GET", "/team/iris/metrics", 404, "nothing at"),
        ("GET", "/v2/models/iris/infer", 405, "expected POST"),
        ("DELETE", "/v2/models/iris", 405, "expected GET"),
        ("PUT", "/metrics", 405, "expected GET"),
    ],
)
def test_wrong_paths_and_methods(doubled: Server, method: str, path: str, status: int, words: str) -> None:
    answer = doubled.http.request(method, doubled.url + path)
    assert answer.status == status and words in json.loads(answer.data)["error"]
    assert (answer.headers.get("Allow") is not None) == (status == 405)


def test_a_huge_body_is_413(doubled: Server) -> None:
    status, document = doubled.infer(b" " * 100_001)
    assert status == 413 and "100000 at most" in document["error"]
    chunks = (b" " * 1000 for _ in range(200))
    answer = doubled.http.request("POST", f"{doubled.url}/v2/models/iris/infer", body=chunks, chunked=True)
    assert answer.status == 413
    assert doubled.infer(tensor(FOUR, [1, 4]))[0] == 200


def test_a_body_that_does_not_come_is_408(doubled: Server) -> None:
    host, port = doubled.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(HALF)
        assert b" 408 " in client.recv(1000)


def test_bytes_that_are_no_http_and_clients_that_leave_do_no_harm(doubled: Server) -> None:
    host, port = doubled.url.removeprefix("http://").split(":")
    for sent in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n", HALF):
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(sent)
    time.sleep(0.2)
    assert doubled.infer(tensor(FOUR, [1, 4]))[0] == 200
    assert doubled.metric("requests_in_flight{") == 0


def test_binary_tensors_go_both_ways(doubled: Server) -> None:
    raw = struct.pack("<8f", *range(8))
    head = json.dumps({
        "inputs": [{**SPEC, "shape": [2, 4], "parameters": {"binary_data_size": 32}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }).encode()  # fmt: skip
    answer = doubled.http.request(
        "POST", f"{doubled.url}/v2/models/iris/infer", body=head + raw,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )  # fmt: skip
    assert answer.status == 200, answer.data
    size = int(answer.headers["Inference-Header-Content-Length"])
    document = json.loads(answer.data[:size])
    assert document["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": 32}}
    ]
    assert struct.unpack("<8f", answer.data[size:]) == tuple(2.0 * i for i in range(8))


@pytest.mark.parametrize(
    ("length", "size", "words"),
    [("x", 16, "expected a number of bytes"), ("9999", 16, "expected a number of bytes"),
     (None, 17, "16 bytes are left"), (None, 12, "expected 16 for FP32"), (None, -1, "bytes are left")],
)  # fmt: skip
def test_wrong_binary_lengths_are_400(doubled: Server, length: str | None, size: int, words: str) -> None:
    item = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [item]}).encode()
    answer = doubled.http.request(
        "POST", f"{doubled.url}/v2/models/iris/infer", body=head + bytes(16),
        headers={"Inference-Header-Content-Length": length or str(len(head))},
    )  # fmt: skip
    assert answer.status == 400 and words in json.loads(answer.data)["error"]
