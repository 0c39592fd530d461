"""YAML as Kubernetes reads it, with the line of every key; fast enough for files of ten megabytes."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from yaml import Node

_DEEPEST = 64
_FREE = 100_000
"""Values that aliases may add without a second look; beyond, a text may grow tenfold by them and no more."""
_TENFOLD = 10

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_WORDS: dict[str, Any] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes in C; what a plain scalar means is decided when it is read, not by a tag."""

    def resolve(self, kind: type[Node], value: str, implicit: Any) -> str:  # noqa: ARG002 - PyYAML's signature
        if kind is yaml.ScalarNode:
            return "plain" if implicit[0] else _TAG + "str"
        return _TAG + ("map" if kind is yaml.MappingNode else "seq")

    _depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:  # noqa: ARG002
        """Called on the way into each node, in C, whose stack ends without a word."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.composer.ComposerError(
                None, None, f"values are nested deeper than {_DEEPEST} levels", current_node.start_mark
            )

    def ascend_resolver(self) -> None:
        self._depth -= 1


class Document:
    """One YAML document: its value, and the line (from 1) at which each path of keys stands."""

    def __init__(self, name: str, node: Node, values: Any) -> None:
        self.name = name
        self.values = values
        self._node = node

    def line(self, *path: str | int) -> int:
        """Return the line of a path, or of the nearest mapping around it that is there."""
        node, line = self._node, self._node.start_mark.line
        for key in path:
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in node.value if pair[0].value == str(key)), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line, found[1]
            elif isinstance(node, yaml.SequenceNode) and str(key).isdigit() and int(key) < len(node.value):
                node = node.value[int(key)]
                line = node.start_mark.line
            else:
                break
        return int(line) + 1

    def node(self, *path: str | int) -> Any:
        """Return the node of a path, with its marks; None where there is none."""
        node: Any = self._node
        for key in path:
            if isinstance(node, yaml.MappingNode):
                node = next((item for name, item in node.value if name.value == str(key)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
            else:
                return None
        return node

    def place(self, *path: str | int) -> str:
        """Return `file:line` of a path, or of the nearest mapping around it that is there."""
        return f"{self.name}:{self.line(*path)}"


def parse_all(text: str, name: str) -> list[Document]:
    """Return the documents of a YAML text; empty ones are left out.

    Raises:
        UsageError: not YAML, a key given twice, a tag that Kubernetes does not know, or aliases that make a
            small text a huge one.
    """
    documents = []
    loader = _Loader(text)
    try:
        with _no_collection():
            while loader.check_node():
                node = loader.get_node()
                values = _Reader(name).read(node)
                if values is not None:
                    documents.append(Document(name, node, values))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        hint = "it is a template: render it first, such as by `helm template`" if "{{" in text else None
        what = f"not valid YAML: {error.problem or error.context}"
        raise UsageError(what, where=where, next_step=hint) from None
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0) or 0) + 1
        raise UsageError(f"not valid YAML: {str(error).splitlines()[0]}", where=f"{name}:{line}") from None
    finally:
        loader.dispose()
    return documents


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no cycles for a while: among millions of new nodes that takes eight times the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def parse(text: str, name: str) -> list[Document]:
    """Return the documents of a YAML text, each of them a mapping; empty ones are left out.

    Raises:
        UsageError: as `parse_all`, and of a document that is not a mapping.
    """
    documents = parse_all(text, name)
    for document in documents:
        if not isinstance(document.values, dict):
            raise UsageError(
                "the document is not a mapping",
                where=document.place(),
                expected="apiVersion, kind, metadata, spec",
            )
    return documents


class _Reader:
    """Turns the nodes of one document into values; what an anchor names is read once and shared."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._read: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()
        self._nodes = 0

    def read(self, node: Node) -> Any:
        value, size = self._value(node)
        if size > _FREE and size > _TENFOLD * self._nodes:
            raise self._refuse(
                node,
                f"aliases make {size} values of {self._nodes}",
                "a text that does not explode when it is read",
            )
        return value

    def _value(self, node: Node) -> tuple[Any, int]:
        """Return the value of a node, and how many values it is with every alias written out."""
        if isinstance(node, yaml.ScalarNode):
            self._nodes += 1
            return self._scalar(node), 1
        known = self._read.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise self._refuse(node, "an anchor contains itself", "a tree")
        self._nodes += 1
        self._open.add(id(node))
        found = self._mapping(node) if isinstance(node, yaml.MappingNode) else self._list(node)
        self._open.discard(id(node))
        self._read[id(node)] = found
        return found

    def _list(self, node: Node) -> tuple[list[Any], int]:
        items = [self._value(item) for item in node.value]
        return [value for value, _ in items], 1 + sum(size for _, size in items)

    def _mapping(self, node: Node) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        total = 1
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._refuse(
                    key, "a key is not text", "a name and a value; a template is to be rendered first"
                )
            word = key.value
            value, size = self._value(item)
            total += size + 1
            if word == "<<" and key.tag == "plain":
                for part in value if isinstance(value, list) else [value]:
                    merged = {**(part if isinstance(part, dict) else {}), **merged}
            elif word in found:
                raise UsageError(f"{word} is given twice", where=f"{self._name}:{key.start_mark.line + 1}")
            else:
                found[word] = value
        return ({**merged, **found} if merged else found), total

    def _scalar(self, node: Node) -> Any:
        if node.tag == "plain":
            return _plain(node.value)
        if node.tag.startswith(_TAG):
            # An explicit tag, such as !!int, says what is read; anything else is text.
            kind = node.tag.removeprefix(_TAG)
            return _plain(node.value) if kind in ("int", "float", "bool", "null") else node.value
        raise self._refuse(node, f"the tag {node.tag} is not Kubernetes'", "plain YAML")

    def _refuse(self, node: Node, what: str, expected: str) -> UsageError:
        return UsageError(what, where=f"{self._name}:{node.start_mark.line + 1}", expected=expected)


@lru_cache(65536)
def _plain(text: str) -> Any:
    """Return what a plain scalar means; dates stay text, and there are no numbers to the base of sixty."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        bare = text.replace("_", "")
        if _INT.fullmatch(text):
            octal = re.fullmatch(r"[-+]?0[0-7]+", bare)
            return int(bare, 8 if octal else 0)
        if _FLOAT.fullmatch(text):
            return float(
                bare.replace(".inf", "inf")
                .replace(".Inf", "inf")
                .replace(".INF", "inf")
                .replace(".nan", "nan")
            )
    return text
