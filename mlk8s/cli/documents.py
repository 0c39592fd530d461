"""Specs as files: YAML documents in Kubernetes' form, with the line of every fault.

    apiVersion: mlk8s.dev/v1
    kind: ModelService                 # or FeatureJob, FeatureCronJob, StatefulSet, Tenant, ...
    metadata: {name: iris, namespace: models, labels: {team: a}}
    spec:                              # the fields of mlk8s.ModelService, under the same names
      model: s3://models/iris/1
      autoscale: {min: 1, max: 8, target: 4}

It is a file format only: nothing of that kind is installed in the cluster. The name, namespace and labels
stand in `metadata`, everything else in `spec`; of a FeatureCronJob they go to its `job`. A relative `source`
is looked for beside the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from mlk8s.cli.files import read_utf8
from mlk8s.cli.yaml_lines import Document, parse
from mlk8s.errors import SpecError, UsageError

if TYPE_CHECKING:
    from mlk8s.spec.base import Spec

API_VERSION = "mlk8s.dev/v1"
_TOP = ("apiVersion", "kind", "metadata", "spec")
_METADATA = ("name", "namespace", "labels")


def read_specs(file: str, *, also: Iterable[type[Spec]] = ()) -> list[Spec]:
    """Return the specs of a YAML file, `-` for standard input, in the file's order.

    Args:
        also: further kinds that the caller understands.

    Raises:
        UsageError: no such file, not YAML, or not one of our documents; the message has file and line.
        SpecError: a value is not valid; one line for each fault, with file, line and field.
    """
    if file == "-":
        text, name, folder = sys.stdin.read(), "<stdin>", Path.cwd()
    else:
        text, name, folder = read_utf8(file), file, Path(file).parent
    documents = parse(text, name)
    if not documents:
        raise UsageError(
            "the file has no document", where=name, expected=f"apiVersion: {API_VERSION}, kind, ..."
        )
    return [_spec(document, folder, also) for document in documents]


def _spec(document: Document, folder: Path, also: Iterable[type[Spec]]) -> Spec:
    from mlk8s.render.objects import kinds
    from mlk8s.spec.job import FeatureCronJob, FeatureJob
    from mlk8s.spec.service import ModelService

    own: tuple[type[Spec], ...] = (ModelService, FeatureJob, FeatureCronJob, *also)
    known = {item.__name__: item for item in own} | kinds()
    top = document.values
    _only(document, top, (), _TOP)
    if top.get("apiVersion") != API_VERSION:
        raise UsageError(
            f"apiVersion is {top.get('apiVersion')!r}",
            where=document.place("apiVersion"),
            expected=API_VERSION,
        )
    kind = top.get("kind")
    if kind not in known:
        raise UsageError(
            f"kind is {kind!r}", where=document.place("kind"), expected=f"one of: {', '.join(known)}",
            next_step="plain Kubernetes objects are applied with `kubectl apply -f`",
        )  # fmt: skip
    for part in ("metadata", "spec"):
        if not isinstance(top.get(part), dict):
            raise UsageError(f"{part} is missing or not a mapping", where=document.place(part))
    metadata, fields = top["metadata"], dict(top["spec"])
    _only(document, metadata, ("metadata",), _METADATA)
    moved = [name for name in _METADATA if name in fields]
    if moved:
        raise UsageError(
            f"{moved[0]} stands in spec", where=document.place("spec", moved[0]), expected="it in metadata"
        )
    if kind == "FeatureCronJob":
        job = fields.get("job")
        if not isinstance(job, dict):
            raise UsageError("spec.job is missing or not a mapping", where=document.place("spec", "job"))
        fields["job"] = metadata | _beside(job, folder)
        return _build(FeatureCronJob, fields, document, ("spec",))
    if kind == "FeatureJob":
        return _build(FeatureJob, metadata | _beside(fields, folder), document, ("spec",))
    return _build(known[kind], metadata | fields, document, ("spec",))


def _only(document: Document, found: dict[str, Any], path: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for key in found:
        if key not in allowed:
            raise UsageError(
                f"no such field: {'.'.join((*path, str(key)))}", where=document.place(*path, str(key)),
                expected=f"one of: {', '.join(allowed)}",
            )  # fmt: skip


def _beside(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    source = job.get("source")
    if isinstance(source, str) and "\n" not in source and source.endswith(".py"):
        return job | {"source": folder / source}
    return job


def _build(kind: type[Spec], values: dict[str, Any], document: Document, path: tuple[str, ...]) -> Spec:
    """Make a spec from the innermost mapping outwards, so that every fault has a path and so a line."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        inner = _spec_type(kind, name)
        if inner and isinstance(value, dict):
            made[name] = _build(inner, value, document, (*path, name))
        elif inner and isinstance(value, list):
            parts = enumerate(value)
            made[name] = [
                _build(inner, item, document, (*path, name, str(number))) if isinstance(item, dict) else item
                for number, item in parts
            ]
        else:
            made[name] = value
    try:
        return kind(**made)
    except SpecError as error:
        lines = [_with_line(line, kind, document, path) for line in error.what.splitlines()]
        raise SpecError("\n".join(lines), next_step=error.next_step) from None


def _spec_type(kind: type[Spec], field: str) -> type[Spec] | None:
    """Return the Spec class of a field such as `Gpu | None`, `tuple[Container, ...]`; else None."""
    from mlk8s.spec.base import Spec

    known = kind.model_fields.get(field)
    choices = _alternatives(known.annotation) if known else ()
    return next((item for item in choices if isinstance(item, type) and issubclass(item, Spec)), None)


def _alternatives(annotation: Any) -> list[Any]:
    """Return what a union or a tuple of one type holds; a mapping's values are for pydantic."""
    if get_origin(annotation) in (Union, UnionType, tuple):
        return [choice for item in get_args(annotation) for choice in _alternatives(item)]
    return [annotation]


def _with_line(line: str, kind: type[Spec], document: Document, path: tuple[str, ...]) -> str:
    """Replace `ModelService.replicas: ...` by `file.yaml:12: spec.replicas: ...`."""
    found = re.match(rf"{kind.__name__}((?:\.\w+)*): (.*)", line)
    if not found:
        return line
    inner = tuple(found[1].strip(".").split(".")) if found[1] else ()
    where = ("metadata", *inner) if inner and inner[0] in _METADATA else (*path, *inner)
    return f"{document.place(*where)}: {'.'.join(where)}: {found[2]}"
