"""Inputs of a model as they come on a command line."""

from __future__ import annotations

import json
import sys
from typing import Any

from mlk8s.cli.files import read_utf8
from mlk8s.errors import UsageError


def read_text(value: str) -> tuple[str, str]:
    """Return the text of JSON, @FILE or - (standard input), and where it was read.

    Raises:
        UsageError: the file cannot be read.
    """
    if value == "-":
        return sys.stdin.read(), "standard input"
    if not value.startswith("@"):
        return value, "--data"
    return read_utf8(value[1:]), value[1:]


def read_inputs(value: str) -> Any:
    """Return the inputs of a prediction: rows, or arrays by input name; a V2 request is taken apart.

    Raises:
        UsageError: not JSON, with line and column, or of another form.
    """
    text, where = read_text(value)
    try:
        inputs = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"not JSON: {error.msg}", where=f"{where}, line {error.lineno}, column {error.colno}",
            expected="such as '[[5.1, 3.5, 1.4, 0.2]]'; a file as @FILE",
        ) from None  # fmt: skip
    if isinstance(inputs, dict) and isinstance(inputs.get("inputs"), list):
        return _from_v2(inputs["inputs"], where)
    if not isinstance(inputs, (dict, list)):
        raise UsageError(
            f"the data is {json.dumps(inputs)[:80]}", where=where,
            expected="a list of rows, or an object of input name to array",
        )  # fmt: skip
    return inputs


def _from_v2(inputs: list[Any], where: str) -> dict[str, Any]:
    import numpy as np

    try:
        return {item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in inputs}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"not a V2 request: {error}", where=where, expected="inputs with name, shape, datatype and data"
        ) from None


def headers(given: list[str]) -> dict[str, str]:
    """Return `NAME: VALUE` options as a dict.

    Raises:
        UsageError: an option without a colon.
    """
    found = {}
    for item in given:
        name, colon, value = item.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"--header {item!r} is not 'NAME: VALUE'")
        found[name.strip()] = value.strip()
    return found
