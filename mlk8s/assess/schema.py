"""Whether a manifest has its kind's shape in Kubernetes' OpenAPI; a misspelt field names the right one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]
Keys = tuple[str | int, ...]
Definitions = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,), "null": (type(None),),
}  # fmt: skip
_WORDS = {
    dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number",
    type(None): "nothing",
}  # fmt: skip
_DEEPEST = 60


class Schemas:
    """The shapes of every kind of one Kubernetes version.

    Args:
        definitions: name of a type to its JSON schema, as in the OpenAPI document's definitions.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._kinds: dict[tuple[str, str], str] = {}
        for name, schema in definitions.items():
            for item in schema.get("x-kubernetes-group-version-kind") or ():
                version = "/".join(part for part in (item["group"], item["version"]) if part)
                self._kinds[version, item["kind"]] = name

    def knows(self, manifest: Manifest) -> bool:
        """Whether the group of a manifest is Kubernetes' own, so that its kind must be there."""
        group = str(manifest.get("apiVersion")).rpartition("/")[0]
        return any(version.rpartition("/")[0] == group for version, _ in self._kinds)

    def check(self, manifest: Manifest) -> Iterator[tuple[Keys, str]]:
        """Yield what is not of the kind's shape: path and sentence. Nothing for kinds of other groups."""
        version, kind = manifest.get("apiVersion"), manifest.get("kind")
        name = self._kinds.get((str(version), str(kind)))
        if name is not None:
            yield from self._check(manifest, self._definitions[name], ())
        elif self.knows(manifest):
            yield self._unknown(str(version), str(kind))

    def _unknown(self, version: str, kind: str) -> tuple[Keys, str]:
        elsewhere = sorted(other for other, item in self._kinds if item == kind)
        if elsewhere:
            return ("apiVersion",), f"there is no {kind} in {version}; expected {', '.join(elsewhere)}"
        near = _nearest(kind, [item for other, item in self._kinds if other == version])
        return ("kind",), f"there is no kind {kind} in {version}{near}"

    def _check(self, value: Any, schema: Manifest, keys: Keys) -> Iterator[tuple[Keys, str]]:
        if "$ref" in schema:
            schema = self._definitions.get(schema["$ref"].rpartition("/")[2], {})
        choices = [option.get("type") for option in schema.get("oneOf") or (schema,)]
        wanted = {word for item in choices for word in ([item] if isinstance(item, str) else item or ())}
        if value is None or not wanted or len(keys) > _DEEPEST:
            # Kubernetes reads a null as a field that was not given.
            return
        if not any(_is(value, word) for word in wanted):
            yield keys, f"expected {_expected(wanted)}, found {_found(value)}"
        elif "enum" in schema and value not in schema["enum"]:
            allowed = [item for item in schema["enum"] if isinstance(item, str)]
            yield keys, f"{value!r} is not allowed; expected {', '.join(allowed)}{_nearest(value, allowed)}"
        elif isinstance(value, dict):
            yield from self._mapping(value, schema, keys)
        elif isinstance(value, list) and isinstance(schema.get("items"), dict):
            for i, item in enumerate(value):
                yield from self._check(item, schema["items"], (*keys, i))

    def _mapping(self, value: Manifest, schema: Manifest, keys: Keys) -> Iterator[tuple[Keys, str]]:
        fields = schema.get("properties")
        others = schema.get("additionalProperties")
        for name in schema.get("required") or ():
            if value.get(name) is None:
                yield keys, f"the field {name} is missing"
        for key, item in value.items():
            if fields and key in fields:
                yield from self._check(item, fields[key], (*keys, key))
            elif isinstance(others, dict):
                yield from self._check(item, others, (*keys, key))
            elif fields:
                yield (*keys, key), f"there is no field {key}{_nearest(str(key), list(fields))}"


def _is(value: Any, word: str) -> bool:
    if isinstance(value, bool):
        return word == "boolean"
    return isinstance(value, _TYPES.get(word, (object,)))


def _expected(wanted: set[str]) -> str:
    words = [_WORDS[_TYPES[word][0]] for word in sorted(wanted) if word in _TYPES and word != "null"]
    return " or ".join(dict.fromkeys(words))


def _found(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return _WORDS[type(value)]
    text = repr(value)
    return f"{_WORDS.get(type(value), 'text')}, {text if len(text) <= 40 else text[:39] + '…'}"


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    by_case = {item.lower(): item for item in known}
    close = get_close_matches(name.lower(), by_case, n=1, cutoff=0.6)
    return f"; did you mean {by_case[close[0]]}?" if close else ""
