"""Label selectors and node selectors, as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether labels satisfy a LabelSelector; the empty selector matches everything."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(expression(item, labels) for item in selector.get("matchExpressions") or ())


def expression(item: Object, labels: Mapping[str, str]) -> bool:
    """Return whether labels satisfy one expression of a label selector or of a node selector."""
    key, operator, values = item["key"], item["operator"], item.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator in ("Gt", "Lt"):  # node selectors only: whole numbers
        try:
            found, bound = int(labels[key]), int(values[0])
        except (KeyError, ValueError, IndexError):
            return False
        return found > bound if operator == "Gt" else found < bound
    return key not in labels  # DoesNotExist, the only one left
