"""Data to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from mlk8s.errors import Mlk8sError
from mlk8s.secrecy import redact


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted there: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(line: str) -> None:
    """Show one line of progress on stderr, at once."""
    print(redact(line), file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Show a line on stderr, from its own beginning where the terminal's cursor stands after a ^C."""
    if sys.stderr.isatty():
        line = "\r\033[K" + line
    say(line)


def show_error(error: Mlk8sError) -> None:
    """Show an error on stderr: `error:` in red on a terminal, the same text elsewhere."""
    word = "\033[1;31merror:\033[0m" if coloured(sys.stderr) else "error:"
    try:
        say(f"{word} {error}")
    except BrokenPipeError:
        pass  # nobody reads; the exit code still tells


def show(data: Any, form: str, table: str) -> None:
    """Print data on stdout.

    Args:
        data: what `json` and `yaml` print: dicts, lists, strings, numbers.
        form: `table`, `json` or `yaml`.
        table: the text for people.
    """
    if form == "json":
        import json

        print(json.dumps(data, indent=2, ensure_ascii=False, default=str))
    elif form == "yaml":
        import yaml

        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
    else:
        print(table)


def counted(count: int, word: str) -> str:
    """Return '1 object', '2 objects'."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def columns(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as aligned text in kubectl's manner: no frames, three spaces, nothing cut off."""
    cells = [list(head), *([("-" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, Any]]) -> str:
    """Return `name: value` lines with the values aligned; a pair without a value is left out."""
    known = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in known), default=0) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in known)
