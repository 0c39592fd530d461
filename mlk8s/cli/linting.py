"""What `mlk8s lint` does with files; free of typer and rich, so that a check of one file is done at once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlk8s.assess.lint import Waiver, lint
from mlk8s.assess.lint.model import Finding, dotted
from mlk8s.assess.lint.objects import Obj
from mlk8s.cli.files import read_utf8
from mlk8s.cli.manifests import Manifests, Source, read_manifests
from mlk8s.cli.output import coloured, counted, say
from mlk8s.errors import UsageError

CONFIG = ".mlk8s-lint.yaml"
FORMS = ("table", "json", "sarif")
Record = dict[str, Any]


def quick(arguments: Sequence[str]) -> int | None:
    """Run `lint` on paths that are there with no option but -o; None leaves all else to the command line."""
    paths = list(arguments)
    form = "table"
    for option in ("-o", "--output"):
        if option in paths[:-1]:
            at = paths.index(option)
            form = paths[at + 1]
            del paths[at : at + 2]
    if not paths or form not in FORMS or not all(path == "-" or Path(path).exists() for path in paths):
        return None
    return lint_files(paths, form)


def lint_files(
    paths: Sequence[str],
    form: str = "table",
    *,
    whole: bool = False,
    config: str | None = None,
    schemas: str = "newest",
) -> int:
    """Lint files and folders, print the findings, and return the exit code: 1 where there are any.

    Raises:
        UsageError: a path cannot be read or is no manifest; the configuration is not valid.
    """
    manifests = read_manifests(paths)
    records, notes = findings(manifests, whole=whole, config=config, schemas=schemas)
    return present(records, form, len(manifests.sources), [*manifests.notes, *notes])


def findings(
    manifests: Manifests, *, whole: bool = False, config: str | None = None, schemas: str = "newest"
) -> tuple[list[Record], list[str]]:
    """Return the findings with file and line, and a sentence for everything that was not checked."""
    found = lint(manifests.bodies, whole=whole, waivers=read_waivers(config))
    told = {(item.place, item.keys) for item in found}
    shapes, notes = _schema_findings(manifests, schemas)
    wrong = [item for item in shapes if (item.place, item.keys) not in told]
    return [
        record(item, manifests.sources) for item in sorted([*found, *wrong], key=lambda item: item.place)
    ], notes


def _schema_findings(manifests: Manifests, version: str) -> tuple[list[Finding], list[str]]:
    from mlk8s.cli.schemas import load_schemas

    if version == "none":
        return [], []
    schemas, note = load_schemas(version)
    if schemas is None:
        return [], [note] if note else []
    found: list[Finding] = []
    unknown: dict[str, Source] = {}
    for place, body in enumerate(manifests.bodies):
        title = Obj(place, body).title
        for keys, sentence in schemas.check(body):
            found.append(
                Finding("schema", "error", title, dotted(keys), sentence, "correct the field", place, keys)
            )
        if not schemas.knows(body):
            unknown.setdefault(f"{body['apiVersion']} {body['kind']}", manifests.sources[place])
    notes = [
        f"{source.file}:{source.line()}: the fields of {kind} are not checked, it is not Kubernetes' own: "
        "`--server` asks a cluster that has its CRD"
        for kind, source in unknown.items()
    ]
    return found, notes


def record(item: Finding, sources: Sequence[Source]) -> Record:
    """Return a finding as it is printed: with file and line where its manifest came from a file."""
    names = ("rule", "severity", "object", "path", "sentence", "fix")
    found: Record = {name: getattr(item, name) for name in names}
    if 0 <= item.place < len(sources):
        source = sources[item.place]
        found |= {"file": source.file, "line": source.line(*item.keys)}
    return found


def read_waivers(path: str | None) -> list[Waiver]:
    """Return the waivers of a configuration file; of `.mlk8s-lint.yaml` in this folder where none is named.

    Raises:
        UsageError: it cannot be read, or is not of the form that is expected.
    """
    from mlk8s.cli.yaml_lines import parse

    file = Path(path or CONFIG)
    if path is None and not file.exists():
        return []
    documents = parse(read_utf8(file), str(file))
    waivers = []
    for document in documents:
        entries = document.values.get("waive", [])
        if set(document.values) - {"waive"} or not isinstance(entries, list):
            raise UsageError(
                "it is no configuration of the linter",
                where=str(file),
                expected="waive: [{rule, object, reason}]",
            )
        for i, entry in enumerate(entries):
            where = document.place("waive", i)
            if (
                not isinstance(entry, dict)
                or set(entry) - {"rule", "object", "reason"}
                or "rule" not in entry
            ):
                raise UsageError(
                    "it is no waiver",
                    where=where,
                    expected="rule, reason, and object where it is not for all",
                )
            texts = {key: str(value).strip() for key, value in entry.items()}
            waivers.append(Waiver(texts["rule"], texts.get("reason", ""), texts.get("object", "*"), where))
    return waivers


def present(records: list[Record], form: str, objects: int, notes: Iterable[str] = ()) -> int:
    """Print the findings on stdout and the notes and their number on stderr; return 1 where there are any."""
    for note in _grouped(notes):
        say(f"note: {note}")
    if form == "json":
        import json

        print(json.dumps(records, indent=2, ensure_ascii=False))
    elif form == "sarif":
        import json

        from mlk8s import __version__
        from mlk8s.assess.lint.sarif import sarif

        print(json.dumps(sarif(records, __version__), indent=2, ensure_ascii=False))
    else:
        _print(records)
    errors = sum(item["severity"] == "error" for item in records)
    warnings = len(records) - errors
    count = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}" if records else "no findings"
    say(f"{counted(objects, 'object')}: {count}")
    return 1 if records else 0


def _grouped(notes: Iterable[str]) -> list[str]:
    """Return notes that say the same of several places as one."""
    places: dict[str, list[str]] = {}
    for note in notes:
        place, colon, sentence = note.partition(": ")
        places.setdefault(sentence if colon else "", []).append(place)
    return [
        f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: {sentence}"
        for sentence, where in places.items()
        if sentence
    ] + places.get("", [])


def _print(records: list[Record]) -> None:
    colour = coloured(sys.stdout)
    for item in records:
        where = f"{item['file']}:{item['line']}" if item.get("file") else item["object"]
        word = item["severity"]
        if colour:
            word = f"\033[{'1;31' if word == 'error' else '1;33'}m{word}\033[0m"
        print(f"{where}: {word}: {item['sentence']} [{item['rule']}]")
        print(f"  {item['object']}{', ' + item['path'] if item['path'] else ''}")
        print(f"  fix: {item['fix']}")
