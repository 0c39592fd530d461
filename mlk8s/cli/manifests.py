"""Plain Kubernetes manifests from files, folders and standard input, each with its place."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlk8s.cli.files import read_utf8
from mlk8s.cli.yaml_lines import Document, parse_all
from mlk8s.errors import UsageError

ENDINGS = (".yaml", ".yml", ".json")
_OURS = "mlk8s.dev/"
_KUSTOMIZE = "kustomize.config.k8s.io/"


class Source(NamedTuple):
    """One manifest and where it stands; `prefix` leads to it inside its document (of a List)."""

    body: dict[str, Any]
    document: Document
    prefix: tuple[str | int, ...] = ()

    @property
    def file(self) -> str:
        return self.document.name

    def line(self, *keys: str | int) -> int:
        """Return the line of a field of the manifest."""
        return self.document.line(*self.prefix, *keys)


class Manifests(NamedTuple):
    """What was read: the manifests, and a sentence for everything that was passed over."""

    sources: list[Source]
    notes: list[str]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [item.body for item in self.sources]


def read_manifests(paths: Iterable[str]) -> Manifests:
    """Return the manifests of files and folders, `-` for standard input, in their order.

    Lists are taken apart. In a folder, files that hold no manifests are passed over, with a note.

    Raises:
        UsageError: no such path, no manifest at all, not YAML, a key given twice, or a file that is none.
    """
    found = Manifests([], [])
    for path in paths:
        folder = path != "-" and Path(path).is_dir()
        for name, text in _texts(path, found.notes):
            for document in parse_all(text, name):
                _collect(document, found, named=not folder)
    if not found.sources and not found.notes:
        raise UsageError(
            "there is no manifest", where=", ".join(paths), expected="apiVersion, kind, metadata"
        )
    return found


def _texts(path: str, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each file's name and text; a folder's templates of Helm are passed over, with a note a chart."""
    if path == "-":
        yield "<stdin>", sys.stdin.read()
        return
    root = Path(path)
    files = [root]
    if root.is_dir():
        files = sorted(
            item
            for item in root.rglob("*")
            if item.suffix in ENDINGS
            and not any(part.startswith(".") for part in item.relative_to(root).parts)
        )
    charts = dict.fromkeys(chart for file in files if (chart := _chart(file, root)))
    notes += [
        f"{chart}: passed over, Helm renders it: `helm template {chart} | mlk8s lint -`" for chart in charts
    ]
    for file in files:
        if _chart(file, root) is None:
            yield str(file), read_utf8(file)


def _chart(file: Path, root: Path) -> Path | None:
    """Return the chart that a file of a folder belongs to; None where it belongs to none."""
    above = [folder for folder in file.parents if folder.is_relative_to(root)]
    return next((folder for folder in above if (folder / "Chart.yaml").is_file()), None)


def _collect(document: Document, found: Manifests, *, named: bool) -> None:
    """Add what a document holds.

    Args:
        named: whether the user named the file himself; a file of a folder may be something else.
    """
    values = document.values
    if not isinstance(values, dict) or "kind" not in values or "apiVersion" not in values:
        if named:
            lacks = (
                next((word for word in ("apiVersion", "kind") if word not in values), "")
                if isinstance(values, dict)
                else ""
            )
            what = f"the document has no {lacks}" if lacks else "the document is not a mapping"
            raise UsageError(
                what, where=document.place(), expected="a Kubernetes manifest: apiVersion, kind, metadata"
            )
        found.notes.append(f"{document.place()}: passed over, it is no Kubernetes manifest")
        return
    version, kind = str(values["apiVersion"]), str(values["kind"])
    if version.startswith(_KUSTOMIZE):
        found.notes.append(
            f"{document.place()}: passed over, kustomize reads it: `kubectl kustomize DIR | mlk8s lint -`"
        )
    elif version.startswith(_OURS):
        found.notes.append(
            f"{document.place()}: passed over, a spec: `mlk8s deploy --dry-run=client -f FILE | mlk8s lint -`"
        )
    elif kind.endswith("List") and isinstance(values.get("items"), list):
        for i, item in enumerate(values["items"]):
            if not isinstance(item, dict):
                raise UsageError("an item of the list is not a mapping", where=document.place("items", i))
            body = (
                item if "kind" in item else {"apiVersion": version, "kind": kind.removesuffix("List"), **item}
            )
            found.sources.append(Source(body, document, ("items", i)))
    else:
        found.sources.append(Source(values, document))
