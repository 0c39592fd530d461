"""What would change in an object: a unified diff of live and would-be, secrets masked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Literal

Manifest = dict[str, Any]

_SERVERS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
"""Metadata that the API server writes."""
_NOTES = ("kubectl.kubernetes.io/last-applied-configuration", "kubernetes.io/change-cause")
"""Annotations about an apply: the whole object once more, its secrets included, and why it was made."""
_MASK = "***"


@dataclass(frozen=True)
class Difference:
    """One object that an apply would change.

    Attributes:
        object: KIND NAMESPACE/NAME.
        change: what would happen to it.
        text: unified diff of YAML, from live to would-be.
    """

    object: str
    change: Literal["added", "changed", "removed"]
    text: str


def difference(live: Manifest | None, wanted: Manifest | None) -> Difference | None:
    """Return what an apply would change; None where nothing.

    Args:
        live: the object as it is; None where there is none.
        wanted: the object as a dry run of the apply returned it, defaults filled in; None where it would go.
    """
    before, after = _plain(live), _plain(wanted)
    if before == after:
        return None
    subject = wanted or live or {}
    if subject.get("kind") == "Secret":
        before, after = _masked(before, after)
    title = _title(subject)
    lines = unified_diff(_lines(before), _lines(after), f"live/{title}", f"wanted/{title}", lineterm="")
    change: Literal["added", "changed", "removed"] = (
        "added" if live is None else "removed" if wanted is None else "changed"
    )
    return Difference(title, change, "\n".join(lines))


def _plain(item: Manifest | None) -> Manifest:
    """Return an object without status and without what the server keeps about it."""
    if item is None:
        return {}
    metadata = {key: value for key, value in item.get("metadata", {}).items() if key not in _SERVERS}
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _NOTES
    }
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def _masked(before: Manifest, after: Manifest) -> tuple[Manifest, Manifest]:
    """Hide a Secret's values; of one that changes, only that it does is told."""
    hidden = ({**before}, {**after})
    for part in ("data", "stringData"):
        old, new = before.get(part) or {}, after.get(part) or {}
        for copy, values, word in ((hidden[0], old, "before"), (hidden[1], new, "after")):
            if part in copy:
                copy[part] = {
                    key: _MASK if old.get(key) == new.get(key) else f"{_MASK} ({word})" for key in values
                }
    return hidden


def _title(item: Mapping[str, Any]) -> str:
    metadata = item.get("metadata") or {}
    names = [str(metadata[key]) for key in ("namespace", "name") if metadata.get(key)]
    return f"{item.get('kind')} {'/'.join(names)}"


def _lines(item: Manifest) -> list[str]:
    return [] if not item else list(_write(item, 0))


def _write(value: Any, depth: int) -> list[str]:
    """Return a value as YAML lines with sorted keys, so that order is no difference."""
    pad = "  " * depth
    lines: list[str] = []
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            item = value[key]
            if isinstance(item, (dict, list)) and item:
                lines += [f"{pad}{key}:", *_write(item, depth + (isinstance(item, dict)))]
            elif isinstance(item, str) and "\n" in item:
                lines += [f"{pad}{key}: |", *(f"{pad}  {line}" for line in item.splitlines())]
            else:
                lines.append(f"{pad}{key}: {_scalar(item)}")
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)) and item:
                first, *rest = _write(item, depth + 1)
                lines += [f"{pad}- {first.lstrip()}", *rest]
            else:
                lines.append(f"{pad}- {_scalar(item)}")
    return lines


def _scalar(value: Any) -> str:
    if (
        isinstance(value, str)
        and value
        and value.strip() == value
        and not any(mark in value for mark in "\"'#:{}[],&*!|>%@`")
    ):
        plain = (
            value.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
            and not value[0].isdigit()
        )
        return value if plain and value[0] not in "-?~." else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
