"""Every datatype of the protocol, there and back, by JSON and by bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from mlk8s.server.protocol import RequestError, Signature, read_request, write_response
from mlk8s.server.tensors import DTYPES, TensorError, TensorSpec, from_bytes, from_json, to_bytes, to_json

NUMERIC = [name for name in DTYPES if name != "BYTES"]


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    """A datatype, and an array of it without NaN and infinity."""
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(st_numpy.array_shapes(max_dims=3, max_side=4))
    if datatype == "BYTES":
        words = draw(st.lists(st.text(), min_size=math.prod(shape), max_size=math.prod(shape)))
        array = np.empty(len(words), dtype=object)
        array[:] = words
        return datatype, array.reshape(shape)
    dtype = DTYPES[datatype]
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return datatype, draw(st_numpy.arrays(dtype, shape, elements=st_numpy.from_dtype(dtype, **finite)))


@given(tensors())
def test_json_and_back_is_the_same_tensor(case: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    document = orjson.loads(orjson.dumps(to_json("y", array), option=orjson.OPT_SERIALIZE_NUMPY))
    back = from_json("x", datatype, array.shape, document)
    assert back.dtype == array.dtype and np.array_equal(back, array)
    nested = from_json("x", datatype, array.shape, array.tolist())
    assert np.array_equal(nested, array)


@given(tensors())
def test_bytes_and_back_is_the_same_tensor(case: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    back = from_bytes("x", datatype, array.shape, memoryview(to_bytes(array)))
    assert back.dtype == array.dtype and np.array_equal(back, array)


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("INT8", 128, "-128 to 127"),
        ("UINT8", -1, "0 to 255"),
        ("UINT64", -1, "outside UINT64"),
        ("INT64", 2**63, "outside INT64"),
        ("UINT64", 2**64, "outside UINT64"),
        ("INT32", 1.5, "a fraction"),
        ("INT32", True, "a boolean"),
        ("BOOL", 1, "true and false"),
        ("FP16", 1e6, "outside FP16"),
        ("FP64", "1", "a string"),
        ("BYTES", 1, "expected strings"),
        ("BYTES", None, "expected strings"),
    ],
)
def test_a_value_outside_its_datatype_is_refused(datatype: str, value: object, words: str) -> None:
    with pytest.raises(TensorError, match=words):
        from_json("x", datatype, (1,), [value])


def test_numbers_of_64_bits_stay_exact() -> None:
    values = [0, 2**63, 2**64 - 1]
    assert from_json("x", "UINT64", (3,), values).tolist() == values


@pytest.mark.parametrize("raw", [b"\x05\x00\x00\x00ab", b"\x01\x00", b"\x01\x00\x00\x00\xff", b""])
def test_packed_strings_that_do_not_add_up_are_refused(raw: bytes) -> None:
    with pytest.raises(TensorError):
        from_bytes("x", "BYTES", (1,), memoryview(raw))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
    )
)
def test_any_data_is_a_tensor_or_a_told_error(data: object) -> None:
    for datatype in ("FP32", "INT8", "BOOL", "BYTES"):
        try:
            assert from_json("x", datatype, (2,), data).shape == (2,)
        except TensorError:
            continue


_KEYS = st.sampled_from(["datatype", "shape", "data", "parameters", "name"])
_VALUES = st.sampled_from(
    ["FP32", "x", [1], [2], [1, 2], [], 1, None, {}, {"binary_data_size": 4}, {"binary_data_size": "a"}]
)
_BODIES = st.dictionaries(_KEYS, _VALUES).map(lambda t: orjson.dumps({"inputs": [{"name": "x", **t}]}))


@given(st.binary(max_size=200) | _BODIES)
def test_any_body_is_a_request_or_a_told_error(body: bytes) -> None:
    x = TensorSpec("x", "FP32", (-1,))
    signature = Signature((x,), (x,))
    try:
        asked = read_request(body, None, signature)
    except RequestError:
        return
    content, head = write_response("m", "1", asked, asked.inputs, signature)
    assert head is None and orjson.loads(content)["model_version"] == "1"
