"""Which label of a node selector or node affinity no node has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mlk8s.assess.observed import Object
from mlk8s.assess.selectors import expression


def unmatched(pod: Object, nodes: Sequence[Object]) -> tuple[str, str] | None:
    """Return what no node has and what to do about it, in words; None where each label is somewhere."""
    labels = [dict(node["metadata"].get("labels") or {}) for node in nodes]
    names = [str(node["metadata"]["name"]) for node in nodes]
    for item, field in _wanted(pod):
        if any(expression(item, found) for found in labels):
            continue
        shown = show(item)
        near = _near(item, labels)
        remedy = f"`kubectl label node {names[0] if names else 'NODE'} {_assign(item)}`, or change {field}"
        return f"no node has the label {shown} of {field}{near}", remedy
    wanted = list(_wanted(pod))
    if wanted:
        shown = ", ".join(show(item) for item, _ in wanted)
        remedy = f"loosen {wanted[0][1]}, or label a node with all of them"
        return f"no single node has all of: {shown}", remedy
    return None


def tolerated(pod: Object, taint: Object) -> bool:
    """Return whether a pod tolerates a taint (Kubernetes' documentation, "Taints and Tolerations")."""
    for item in pod.get("spec", {}).get("tolerations") or ():
        same = item.get("operator") == "Exists" or item.get("value", "") == taint.get("value", "")
        effect, key = item.get("effect") or taint["effect"], item.get("key") or taint["key"]
        if same and (key, effect) == (taint["key"], taint["effect"]):
            return True
    return False


def show(item: Object) -> str:
    """Return an expression as kubectl writes selectors: 'gpu=a100', 'zone in (a, b)'."""
    key, operator, values = item["key"], item["operator"], [str(v) for v in item.get("values") or ()]
    if operator == "In" and len(values) == 1:
        return f"{key}={values[0]}"
    words = {"In": "in", "NotIn": "not in", "Exists": "present", "DoesNotExist": "absent"}
    return f"{key} {words.get(operator, operator)}" + (f" ({', '.join(values)})" if values else "")


def _wanted(pod: Object) -> list[tuple[Mapping[str, Any], str]]:
    spec = pod.get("spec", {})
    found: list[tuple[Mapping[str, Any], str]] = [
        ({"key": key, "operator": "In", "values": [value]}, "spec.nodeSelector")
        for key, value in (spec.get("nodeSelector") or {}).items()
    ]
    required = (
        (spec.get("affinity") or {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    terms = required.get("nodeSelectorTerms") or []
    if len(terms) == 1:  # several terms are alternatives: none of them alone is what is missing
        found += [(item, "spec.affinity.nodeAffinity") for item in terms[0].get("matchExpressions") or ()]
    return found


def _near(item: Mapping[str, Any], labels: Sequence[Mapping[str, str]]) -> str:
    key = str(item["key"])
    values = sorted({found[key] for found in labels if key in found})
    if values:
        return f"; there is {key} with {', '.join(values[:5])}"
    close = get_close_matches(key, {name for found in labels for name in found}, n=1, cutoff=0.75)
    return f"; there is {close[0]}" if close else ""


def _assign(item: Mapping[str, Any]) -> str:
    values = item.get("values") or ["VALUE"]
    return f"{item['key']}={values[0]}"
