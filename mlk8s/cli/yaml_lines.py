"""YAML with the line of every key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from yaml import Node

_DEEPEST = 32


@dataclass
class Document:
    """One YAML document: a mapping, and the line (from 1) at which each path of keys stands."""

    name: str
    values: dict[str, Any]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def place(self, *path: str) -> str:
        """Return `file:line` of a path, or of the nearest mapping around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}"


def parse(text: str, name: str) -> list[Document]:
    """Return the documents of a YAML text; empty ones are left out.

    Raises:
        UsageError: not YAML, a key given twice, or a document that is not a mapping.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    documents = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            document = Document(name, {})
            _note(node, (), document)
            values = loader.construct_document(node)
            if values is None:
                continue
            if not isinstance(values, dict):
                raise UsageError(
                    "the document is not a mapping",
                    where=document.place(),
                    expected="apiVersion, kind, metadata, spec",
                )
            document.values = values
            documents.append(document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise UsageError(f"not valid YAML: {error.problem or error.context}", where=where) from None
    except yaml.YAMLError as error:
        raise UsageError(f"not valid YAML: {str(error).splitlines()[0]}", where=name) from None
    finally:
        loader.dispose()
    return documents


def _note(node: Node, path: tuple[str, ...], document: Document) -> None:
    """Write down the line of every key; YAML itself would silently keep the last of two equal keys."""
    import yaml

    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > _DEEPEST:  # an anchor that contains itself, most likely
        raise UsageError("mappings are nested too deep", where=document.place(*path))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _note(item, (*path, str(number)), document)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        word = str(key.value)
        line = key.start_mark.line + 1
        if word in seen and word != "<<":
            raise UsageError(f"{'.'.join((*path, word))} is given twice", where=f"{document.name}:{line}")
        seen.add(word)
        document.lines[(*path, word)] = line
        _note(value, (*path, word), document)
