"""Tensors of the Open Inference Protocol v2 as numpy arrays, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

# https://github.com/kserve/open-inference-protocol, "Tensor Data Types"; BYTES are texts in JSON.
_NUMPY = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "object",
}  # fmt: skip


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: its name in the model.
        datatype: V2's name of the element type, such as FP32.
        shape: sizes; -1 is any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}{list(self.shape)}"


def encode(spec: TensorSpec, values: ArrayLike) -> dict[str, Any]:
    """Return a V2 input tensor with its elements in row-major order.

    Args:
        spec: what the model takes.
        values: anything numpy makes an array of, in the shape of `spec`.

    Raises:
        UsageError: the values are no such array, or hold what JSON cannot (NaN, infinity).
    """
    array = _as_array(spec, values)
    fits = len(array.shape) == len(spec.shape) and all(
        want in (-1, size) for want, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise UsageError(
            f"input {spec.name!r} has shape {list(array.shape)}",
            expected=f"{list(spec.shape)}, where -1 is any size",
            next_step=_shape_hint(spec, array),
        )
    data: list[Any] = array.ravel().tolist()
    return {"name": spec.name, "shape": list(array.shape), "datatype": spec.datatype, "data": data}


def decode(tensor: dict[str, Any]) -> NDArray[Any]:
    """Return a V2 output tensor as an array of its shape; its data may come flat or nested."""
    import numpy as np

    dtype = _NUMPY.get(str(tensor.get("datatype")), "object")
    return np.asarray(tensor["data"], dtype=dtype).reshape(tensor["shape"])


def _as_array(spec: TensorSpec, values: ArrayLike) -> np.ndarray[Any, Any]:
    import numpy as np

    if spec.datatype not in _NUMPY:
        raise UsageError(
            f"input {spec.name!r} has the datatype {spec.datatype!r}", expected=f"one of {', '.join(_NUMPY)}"
        )
    try:
        given = np.asarray(values)
        if np.dtype(_NUMPY[spec.datatype]).kind in "iub":
            _check_whole(given, spec.datatype)
        with np.errstate(over="raise", invalid="raise"):
            array = given.astype(_NUMPY[spec.datatype])
    except (ValueError, TypeError, OverflowError, FloatingPointError) as error:
        raise UsageError(
            f"input {spec.name!r} is no array of {spec.datatype}: {error}", expected=str(spec)
        ) from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise UsageError(
            f"input {spec.name!r} holds {array[tuple(place)]} at {place}",
            expected="finite numbers: JSON has neither NaN nor infinity",
            next_step="fill in missing values before the prediction",
        )
    return array


def _check_whole(given: np.ndarray[Any, Any], datatype: str) -> None:
    """Refuse what a cast to whole numbers would change without a word: 1.5 to 1, 300 to 44."""
    import numpy as np

    if given.dtype.kind not in "iufb" or not given.size:
        return
    if given.dtype.kind == "f" and not np.array_equal(given, np.trunc(given)):
        raise ValueError("fractions do not fit whole numbers")
    low, high = (0, 1) if datatype == "BOOL" else _limits(datatype)
    if given.min() < low or given.max() > high:
        raise ValueError(f"values from {given.min()} to {given.max()} do not fit {low} to {high}")


def _limits(datatype: str) -> tuple[int, int]:
    import numpy as np

    info = np.iinfo(_NUMPY[datatype])
    return int(info.min), int(info.max)


def _shape_hint(spec: TensorSpec, array: np.ndarray[Any, Any]) -> str | None:
    if array.ndim == len(spec.shape) - 1:
        return "for one row, wrap it in a list: [row]"
    return None
