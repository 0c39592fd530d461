"""Requests and responses of the Open Inference Protocol v2, with its binary tensor data extension.

Pure: bytes in, arrays out, and back. https://github.com/open-inference/open-inference-protocol
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from mlk8s.server.tensors import (
    Array,
    TensorError,
    TensorSpec,
    from_bytes,
    from_json,
    to_bytes,
    to_json,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
_SLICES, _SLICES_LENGTH = 8, 512  # of one request: names, and characters of all of them


class RequestError(ValueError):
    """The request is wrong; the text says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A checked request: arrays by input name, and the outputs asked for with whether each goes as binary.

    Attributes:
        slices: groups that the request belongs to, by its parameter `slices` ("country=DE,device=phone").
    """

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[tuple[str, bool], ...]
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's inputs and outputs."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_request(body: bytes, header_length: str | None, signature: Signature) -> InferRequest:
    """Read and check an infer request.

    Args:
        body: the JSON document, followed by binary tensors where `header_length` says so.
        header_length: value of Inference-Header-Content-Length, or None.
        signature: what the model takes and gives.

    Raises:
        RequestError: anything in it that is not as expected.
    """
    size = _header_size(header_length, len(body))
    document, tail = (
        _document(body if size is None else body[:size]),
        memoryview(body)[len(body) if size is None else size :],
    )
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError("id is not a string")
    listed = document.get("inputs")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise RequestError(f"inputs is missing or no list of tensors; expected {_names(signature.inputs)}")
    specs = {spec.name: spec for spec in signature.inputs}
    inputs: dict[str, Array] = {}
    for item in listed:
        name, array, tail = _input(item, specs, tail)
        if name in inputs:
            raise RequestError(f"input {name!r} is given twice")
        inputs[name] = array
    if missing := [name for name in specs if name not in inputs]:
        raise RequestError(f"input {missing[0]!r} is missing; expected {_names(signature.inputs)}")
    if len(tail):
        raise RequestError(f"{len(tail)} bytes follow the last tensor; expected none")
    return InferRequest(request_id, inputs, _outputs(document, signature), _slices(document))


def id_of(body: bytes) -> str | None:
    """Return the id of a request that was refused; None where there is none to be found."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def write_response(
    model: str, version: str, request: InferRequest, arrays: Mapping[str, Array], signature: Signature
) -> tuple[bytes, int | None]:
    """Write the response.

    Returns:
        Body, and the length of its JSON part where binary tensors follow, else None.

    Raises:
        NotFiniteError: a tensor that JSON cannot carry.
    """
    datatypes = {spec.name: spec.datatype for spec in signature.outputs}
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, binary in request.outputs:
        array = arrays[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": list(array.shape)}
        if binary:
            blobs.append(to_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = to_json(name, array)
        outputs.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    head = orjson.dumps({**document, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([head, *blobs]), len(head)) if blobs else (head, None)


def _header_size(text: str | None, available: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > available:
        raise RequestError(
            f"{HEADER_LENGTH} is {text[:40]!r}; expected a number of bytes, {available} at most"
        )
    return int(text)


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError("the body is not a JSON object")
    return document


def _input(
    item: dict[str, Any], specs: Mapping[str, TensorSpec], tail: memoryview
) -> tuple[str, Array, memoryview]:
    name = item.get("name")
    if not isinstance(name, str) or name not in specs:
        raise RequestError(f"input {str(name)[:80]!r} is unknown; expected {_names(tuple(specs.values()))}")
    spec, datatype, shape = specs[name], item.get("datatype"), item.get("shape")
    if datatype != spec.datatype:
        raise RequestError(f"input {name!r}: datatype is {str(datatype)[:20]!r}; expected {spec.datatype}")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 1 << 40 for size in shape):
        raise RequestError(
            f"input {name!r}: shape is {str(shape)[:60]}; expected a list of sizes like {list(spec.shape)}"
        )
    if not spec.accepts(tuple(shape)):
        raise RequestError(
            f"input {name!r}: shape is {str(shape)[:200]}; expected {list(spec.shape)}, where -1 is free"
        )
    size = _parameter(item, "binary_data_size")
    try:
        if size is None:
            if "data" not in item:
                raise RequestError(f"input {name!r}: data is missing")
            return name, from_json(name, spec.datatype, tuple(shape), item["data"]), tail
        if type(size) is not int or not 0 <= size <= len(tail):
            raise RequestError(
                f"input {name!r}: binary_data_size is {str(size)[:30]}; {len(tail)} bytes are left"
            )
        return name, from_bytes(name, spec.datatype, tuple(shape), tail[:size]), tail[size:]
    except TensorError as error:
        raise RequestError(str(error)) from None


def _outputs(document: dict[str, Any], signature: Signature) -> tuple[tuple[str, bool], ...]:
    every = _parameter(document, "binary_data_output") is True
    listed = document.get("outputs")
    if listed is None or listed == []:
        return tuple((spec.name, every) for spec in signature.outputs)
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise RequestError("outputs is not a list of objects with a name")
    known = {spec.name for spec in signature.outputs}
    asked: dict[str, bool] = {}
    for item in listed:
        name = item.get("name")
        if not isinstance(name, str) or name not in known:
            raise RequestError(f"output {str(name)[:80]!r} is unknown; expected {_names(signature.outputs)}")
        binary = _parameter(item, "binary_data")
        asked[name] = every if binary is None else binary is True
    return tuple(asked.items())


def _slices(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the first names of a request's slices; they never make a request fail."""
    parameters = document.get("parameters")
    text = parameters.get("slices") if isinstance(parameters, dict) else None
    if not isinstance(text, str):
        return ()
    names = (name.strip() for name in text[:_SLICES_LENGTH].split(","))
    return tuple(dict.fromkeys(name for name in names if name))[:_SLICES]


def _parameter(item: dict[str, Any], name: str) -> object:
    parameters = item.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise RequestError("parameters is not an object")
    return None if parameters is None else parameters.get(name)


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name!r} ({spec.datatype} {list(spec.shape)})" for spec in specs)
