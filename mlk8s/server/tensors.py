"""Tensors of the Open Inference Protocol v2 ⇄ numpy arrays.

Non-finite numbers: JSON has none, so a number that is NaN, infinite or beyond its datatype is refused on the
way in, and on the way out the request fails and says that binary data can carry it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
_ACCEPTED = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}  # kind of a datatype → kinds of JSON numbers
_WORDS = {"b": "true and false", "i": "whole numbers", "u": "whole numbers from 0", "f": "numbers"}


class TensorError(ValueError):
    """What is wrong with a tensor, in words for the one who sent it."""


class NotFiniteError(ValueError):
    """The model's answer cannot be said in JSON."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model: name, V2 datatype, shape (-1 = free)."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits."""
        return len(shape) == len(self.shape) and all(
            want in (-1, size) for want, size in zip(self.shape, shape, strict=True)
        )


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Array:
    """Read the `data` of a JSON tensor, flat in row-major order or nested like its shape.

    Raises:
        TensorError: a value of another type or out of range, or another count than the shape says.
    """
    if not isinstance(data, list):
        raise TensorError(f"input {name!r}: data is {_json_type(data)}; expected a list")
    if datatype == "BYTES":
        return _strings(name, shape, data)
    dtype = DTYPES[datatype]
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError):
        raise TensorError(
            f"input {name!r}: data is ragged or too deep; expected a flat list of numbers"
        ) from None
    if array.size and array.dtype.kind not in _ACCEPTED[dtype.kind]:
        if culprit := _culprit(data, dtype.kind):
            raise TensorError(
                f"input {name!r}: data holds {culprit}; expected {_WORDS[dtype.kind]} for {datatype}"
            )
        # Each value fits, but numpy knows no common type: [0, 2**63] would become fractions.
        try:
            array = np.asarray(data, dtype)
        except (ValueError, OverflowError):
            raise TensorError(f"input {name!r}: a value is outside {datatype}") from None
    _check_count(name, shape, array.size)
    if array.ndim > 1 and array.shape != shape:
        raise TensorError(
            f"input {name!r}: data is nested as {list(array.shape)}; expected {list(shape)}, or flat"
        )
    return _cast(name, datatype, array).reshape(shape)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """Read a tensor of the binary extension: row-major, little endian; BYTES with 4 bytes of length each.

    Raises:
        TensorError: another number of bytes than shape and datatype say.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _packed_strings(name, shape, raw)
    dtype = DTYPES[datatype].newbyteorder("<")
    if len(raw) != count * dtype.itemsize:
        raise TensorError(
            f"input {name!r}: {len(raw)} bytes of binary data; expected {count * dtype.itemsize} for "
            f"{datatype} of shape {list(shape)}"
        )
    if datatype == "BOOL" and raw.nbytes and max(raw) > 1:
        raise TensorError(f"input {name!r}: a BOOL is one byte, 0 or 1")
    # Copied, for the memory of a request is not aligned.
    return np.frombuffer(raw, dtype).astype(DTYPES[datatype]).reshape(shape)


def to_json(name: str, array: Array) -> Array | list[Any]:
    """What orjson writes for a tensor's `data`: flat, row-major.

    Raises:
        NotFiniteError: NaN or infinity, which JSON cannot carry.
    """
    if array.dtype.kind in "OSU":
        return [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in array.flat
        ]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFiniteError(
            f"output {name!r} holds NaN or infinity, which JSON cannot carry; ask for binary_data"
        )
    return np.ascontiguousarray(array).reshape(-1)


def to_bytes(array: Array) -> bytes:
    """A tensor for the binary extension."""
    if array.dtype.kind in "OSU":
        items = (item if isinstance(item, bytes) else str(item).encode() for item in array.flat)
        return b"".join(len(item).to_bytes(4, "little") + item for item in items)
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _cast(name: str, datatype: str, array: Array) -> Array:
    dtype = DTYPES[datatype]
    if dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise TensorError(f"input {name!r}: a value is outside {datatype}, {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise TensorError(f"input {name!r}: a value is outside {datatype}, {np.finfo(dtype).max} at most")
    return cast


def _check_count(name: str, shape: tuple[int, ...], found: int) -> None:
    if found != math.prod(shape):
        raise TensorError(
            f"input {name!r}: data has {found} values; expected {math.prod(shape)} for shape {list(shape)}"
        )


def _strings(name: str, shape: tuple[int, ...], data: list[Any]) -> Array:
    for _ in range(len(shape) - 1):
        if data and all(isinstance(item, list) for item in data):
            data = [inner for item in data for inner in item]
    if not all(isinstance(item, str) for item in data):
        raise TensorError(
            f"input {name!r}: data holds something else than strings; expected strings for BYTES"
        )
    _check_count(name, shape, len(data))
    array = np.empty(len(data), dtype=object)
    array[:] = data
    return array.reshape(shape)


def _packed_strings(name: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    items, at = [], 0
    while at + 4 <= len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + size > len(raw):
            break
        items.append(bytes(raw[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != len(raw):
        raise TensorError(f"input {name!r}: the binary data ends within a string")
    _check_count(name, shape, len(items))
    try:
        return _strings(name, shape, [item.decode() for item in items])
    except UnicodeDecodeError:
        raise TensorError(f"input {name!r}: a string is not UTF-8") from None


def _culprit(data: list[Any], kind: str) -> str | None:
    """Name the first value that does not belong, if any; looks through nested lists without recursion."""
    stack: list[Any] = [data]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
            continue
        is_number = isinstance(item, (int, float)) and not isinstance(item, bool)
        fits = isinstance(item, bool) if kind == "b" else is_number and (kind == "f" or isinstance(item, int))
        if not fits:
            return f"{_json_type(item)} ({str(item)[:20]!r})" if item is not None else "null"
    return None


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a whole number",
        float: "a fraction",
        str: "a string",
        dict: "an object",
    }
    return names.get(type(value), "a list")
