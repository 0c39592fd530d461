"""Conditions of an Argo AnalysisTemplate, such as `result[0] >= 0.95`, judged on a number."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from mlk8s.errors import UsageError

_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_KNOWN = "comparisons of result, result[0], default(result, N), asFloat(result), isNaN(result), len(result)"


class Condition:
    """One condition.

    Args:
        text: as in successCondition or failureCondition.
        where: what it belongs to, for messages.

    Raises:
        UsageError: it has something that is not understood: nothing is guessed.
    """

    def __init__(self, text: str, where: str) -> None:
        self.text, self._where = text, where
        source = re.sub(r"!(?!=)", " not ", text.replace("&&", " and ").replace("||", " or "))
        try:
            self._tree = ast.parse(source.strip(), mode="eval").body
        except SyntaxError:
            raise self._refusal(text) from None
        self(0.5)  # everything in it is looked at once

    def __call__(self, value: float | None) -> bool:
        """Judge one measurement; None is an empty result.

        Raises:
            ValueError: an index into an empty result: Argo counts that as an error.
        """
        return bool(self._value(self._tree, value))

    def bounds(self) -> list[float]:
        """Return the numbers in it."""
        nodes = [node.value for node in ast.walk(self._tree) if isinstance(node, ast.Constant)]
        return [float(value) for value in nodes if isinstance(value, (int, float))]

    def _value(self, node: ast.expr, value: float | None) -> Any:
        if isinstance(node, ast.BoolOp):
            # Both sides are read, so that what is not understood cannot hide behind the first.
            parts = [self._value(part, value) for part in node.values]
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        if isinstance(node, ast.UnaryOp):
            inner = self._value(node.operand, value)
            return (
                not inner
                if isinstance(node.op, ast.Not)
                else -inner
                if isinstance(node.op, ast.USub)
                else inner
            )
        if isinstance(node, ast.Compare):
            return self._compared(node, value)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](self._value(node.left, value), self._value(node.right, value))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.Name) and node.id in ("result", "true", "false"):
            return {"true": True, "false": False}.get(node.id, value)
        if isinstance(node, ast.Subscript):
            return self._indexed(node, value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._called(node.func.id, node.args, value)
        raise self._refusal(ast.unparse(node))

    def _compared(self, node: ast.Compare, value: float | None) -> bool:
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise self._refusal(ast.unparse(node))
        left, right = self._value(node.left, value), self._value(node.comparators[0], value)
        if left is None or right is None:
            raise ValueError("an empty result")
        return _COMPARE[type(node.ops[0])](left, right)

    def _indexed(self, node: ast.Subscript, value: float | None) -> float:
        if not (isinstance(node.value, ast.Name) and node.value.id == "result"):
            raise self._refusal(ast.unparse(node))
        if not (isinstance(node.slice, ast.Constant) and node.slice.value == 0):
            raise self._refusal(ast.unparse(node))
        if value is None:
            raise ValueError("an empty result")
        return value

    def _called(self, name: str, arguments: list[ast.expr], value: float | None) -> Any:
        if name == "len" and len(arguments) == 1:
            return 0 if value is None else 1
        if name == "default" and len(arguments) == 2:
            return self._value(arguments[1], value) if value is None else value
        if name in ("asFloat", "isNaN") and len(arguments) == 1:
            inner = self._value(arguments[0], value)
            return math.isnan(inner) if name == "isNaN" and inner is not None else inner
        raise self._refusal(f"{name}(...)")

    def _refusal(self, part: str) -> UsageError:
        return UsageError(
            f"the condition {self.text!r} has {part!r} in it, which is not understood",
            where=self._where,
            expected=_KNOWN,
            next_step="leave the metric out of the file, or compare by hand",
        )
