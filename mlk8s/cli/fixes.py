"""`mlk8s lint --fix`: what has one right answer is corrected in place, character by character.

Nothing is written anew by a YAML library: comments, order and layout stay as they are, because only the value
in question is replaced, or one line added.

- text-expected, names: a number or true/false where text belongs is put in quotes, as it is written;
- unhealthy-eviction: a PodDisruptionBudget gets unhealthyPodEvictionPolicy: AlwaysAllow;
- removed-api: an apiVersion whose successor has the same fields is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from mlk8s.assess.lint import lint
from mlk8s.assess.lint.model import Finding
from mlk8s.cli.manifests import Source, read_manifests
from mlk8s.errors import UsageError

_SAME_FIELDS = {
    ("batch/v1beta1", "CronJob"): "batch/v1",
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): "autoscaling/v2",
    ("rbac.authorization.k8s.io/v1beta1", "Role"): "rbac.authorization.k8s.io/v1",
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRole"): "rbac.authorization.k8s.io/v1",
    ("rbac.authorization.k8s.io/v1beta1", "RoleBinding"): "rbac.authorization.k8s.io/v1",
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRoleBinding"): "rbac.authorization.k8s.io/v1",
}


class Edit(NamedTuple):
    """Text put in place of another: from `start` up to `end`, both (line, column) from 0."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


def fix_files(paths: Iterable[str]) -> list[str]:
    """Correct the files and return a sentence for each correction.

    Raises:
        UsageError: a path cannot be read or written, or is no manifest.
    """
    sources = read_manifests(paths).sources
    edits: dict[str, list[Edit]] = {}
    notes = []
    for finding in lint([item.body for item in sources]):
        if finding.place < 0:
            continue
        source = sources[finding.place]
        edit = _FIXES[finding.rule](source, finding) if finding.rule in _FIXES else None
        if edit is not None and edit not in edits.setdefault(source.file, []):
            edits[source.file].append(edit)
            notes.append(
                f"{source.file}:{source.line(*finding.keys)}: corrected: {finding.sentence} [{finding.rule}]"
            )
    for file, changes in edits.items():
        try:
            # Bytes of line ends stay what they are.
            text = Path(file).read_bytes().decode()
            Path(file).write_bytes(_edited(text, changes).encode())
        except OSError as error:
            raise UsageError(f"cannot write the file: {error.strerror}", where=file) from None
    return notes


def _edited(text: str, changes: list[Edit]) -> str:
    lines = text.splitlines(keepends=True)
    for start, end, new in sorted(changes, reverse=True):
        line = lines[start[0]]
        lines[start[0]] = line[: start[1]] + new + line[end[1] :]
    return "".join(lines)


def _quoted(source: Source, finding: Finding) -> Edit | None:
    """Put a plain value in quotes, as it is written: 010 becomes "010", not "8"."""
    node = source.document.node(*source.prefix, *finding.keys)
    if node is None or node.tag != "plain" or node.start_mark.line != node.end_mark.line or '"' in node.value:
        return None
    start, end = node.start_mark, node.end_mark
    return Edit((start.line, start.column), (end.line, end.column), f'"{node.value}"')


def _eviction(source: Source, finding: Finding) -> Edit | None:
    node = source.document.node(*source.prefix, "spec")
    if (
        node is None
        or not isinstance(node.value, list)
        or not node.value
        or "unhealthyPodEvictionPolicy" in source.body["spec"]
    ):
        return None
    word = f"{finding.keys[-1]}: AlwaysAllow"
    if node.flow_style:
        at = (node.start_mark.line, node.start_mark.column + 1)
        return Edit(at, at, f"{word}, ")
    first = node.value[0][0].start_mark
    return Edit((first.line, first.column), (first.line, first.column), f"{word}\n{' ' * first.column}")


def _successor(source: Source, _: Finding) -> Edit | None:
    new = _SAME_FIELDS.get((source.body["apiVersion"], source.body["kind"]))
    node = source.document.node(*source.prefix, "apiVersion")
    if new is None or node is None or node.tag != "plain":
        return None
    return Edit(
        (node.start_mark.line, node.start_mark.column), (node.end_mark.line, node.end_mark.column), new
    )


_FIXES: dict[str, Callable[[Source, Finding], Edit | None]] = {
    "text-expected": _quoted,
    "names": _quoted,
    "unhealthy-eviction": _eviction,
    "removed-api": _successor,
}
