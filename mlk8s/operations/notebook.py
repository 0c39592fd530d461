"""Run a notebook from top to bottom with papermill, and say how far it is."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from mlk8s.errors import Mlk8sError, UsageError
from mlk8s.secrecy import looks_secret, redact, secret_name

Say = Callable[[str], None]
_LONGEST_DIRECTORY = 55  # a Unix socket's path has at most 107 bytes, and /kernel-UUID-ipc-N comes after it


class NotebookFailed(Mlk8sError):
    """A cell raised; the executed notebook shows where."""


def run_notebook(notebook: Path, executed: Path, parameters: Mapping[str, Any], *, say: Say = print) -> str:
    """Run a notebook in its own directory and return what its last cell printed.

    What looks like a secret is replaced in what is said and returned, and in the executed notebook's outputs.
    A parameter that looks like one would be written into that notebook, and is refused.

    Args:
        executed: where the notebook with its outputs is written; also when a cell fails.
        parameters: values for the cell tagged `parameters`.
        say: gets a line a cell, and what the cells print.

    Raises:
        UsageError: no such notebook, or it has no such parameter (papermill itself would only warn), or one
            is a secret.
        NotebookFailed: a cell raised.
        Mlk8sError: papermill is not installed.
    """
    if find_spec("papermill") is None:
        raise Mlk8sError("papermill is not installed", next_step="pip install 'mlk8s[notebook]'")
    if not notebook.is_file():
        raise UsageError("no such notebook", where=str(notebook), next_step="give its path with --notebook")
    import papermill

    try:
        labels = _labels(orjson.loads(notebook.read_bytes())["cells"], bool(parameters))
        known = papermill.inspect_notebook(str(notebook))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"not a notebook that can be run: {error}", where=str(notebook)) from None
    _check_parameters(known, parameters, notebook)
    handler = _Lines(say, labels)
    logger = logging.getLogger("papermill")
    level, spread = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        done = papermill.execute_notebook(
            str(notebook), str(executed), parameters=dict(parameters), cwd=str(notebook.parent),
            kernel_name="python3", log_output=True, progress_bar=False, **_transport(),
            # The kernel's own advice about its transport is nothing that a reader of these lines can act on.
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        raise NotebookFailed(
            f"cell {error.exec_count} failed: {error.ename}: {error.evalue}",
            where=str(executed),
            next_step="open the executed notebook: it has everything up to the failure",
        ) from None
    finally:
        _redact_outputs(executed)
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = spread
    return _last_words(done)


def _transport() -> dict[str, Any]:
    """Let notebook and kernel talk over Unix sockets, which other users cannot open, where the path fits."""
    from jupyter_core.paths import jupyter_runtime_dir
    from traitlets.config import Config

    if len(jupyter_runtime_dir()) > _LONGEST_DIRECTORY:
        return {}
    return {"config": Config({"KernelManager": {"transport": "ipc"}})}


def _check_parameters(known: Mapping[str, Any], given: Mapping[str, Any], notebook: Path) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(
            f"the notebook has no parameter {unknown[0]!r}", where=str(notebook),
            expected=f"one of: {', '.join(known) or 'it has no cell tagged `parameters`'}",
        )  # fmt: skip

    for name, value in given.items():
        if isinstance(value, str) and (secret_name(name, value) or looks_secret(value)):
            raise UsageError(
                f"the parameter {name!r} looks like a secret, and would stand in the executed notebook",
                where=str(notebook),
                expected="a Secret of the cluster that the notebook's services refer to",
                next_step="`mlk8s secret create`, or an environment variable that the notebook reads",
            )


def _redact_outputs(executed: Path) -> None:
    """Replace what looks like a secret in the outputs of a notebook, also where a cell failed."""
    if not executed.is_file():
        return
    text = executed.read_text(encoding="utf-8")
    book = orjson.loads(text)
    found = False
    for cell in book["cells"]:
        before = cell.get("outputs") or []
        after = [_redacted(item) for item in before]
        if after != before:
            cell["outputs"], found = after, True
    if found:
        executed.write_bytes(orjson.dumps(book, option=orjson.OPT_INDENT_2))


def _redacted(value: Any) -> Any:
    """Return an output with its texts redacted; a picture's text has no secret's form."""
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[-1], str) and all(str(item).endswith("\n") for item in value[:-1]):
            whole = "".join(value)  # lines of one text: a form may go over several
            hidden = redact(whole)
            return value if hidden == whole else hidden.splitlines(keepends=True)
        return [_redacted(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _labels(cells: list[dict[str, Any]], injected: bool) -> list[str | None]:
    """Return what is said of each cell while it runs: its number and the heading above it; None for text.

    Where parameters are given, papermill adds a cell with them after the one tagged so.
    """
    labels: list[str | None] = []
    heading = ""
    for cell in cells:
        if cell["cell_type"] != "code":
            lines = "".join(cell["source"]).splitlines()
            heading = next((line.lstrip("# ") for line in lines if line.startswith("#")), heading)
            labels.append(None)
            continue
        labels.append(heading)
        if injected and "parameters" in cell["metadata"].get("tags", ()):
            labels.append("the given parameters")
    return [
        None if label is None else f"— cell {number} of {len(labels)}" + (f": {label}" if label else "")
        for number, label in enumerate(labels, 1)
    ]


def _last_words(notebook: Any) -> str:
    """Return the text that the last code cell wrote to stdout."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = code[-1].outputs if code else []
    words = "".join(
        item["text"] for item in outputs if item["output_type"] == "stream" and item["name"] == "stdout"
    )
    return redact(words)


class _Lines(logging.Handler):
    """papermill's log as plain lines: what the cells print, not how papermill works."""

    _NOISE = (
        "Ending Cell",
        "Input Notebook:",
        "Output Notebook:",
        "Executing notebook with kernel",
        "Working directory",
    )

    def __init__(self, say: Say, labels: list[str | None]) -> None:
        super().__init__()
        self._say, self._labels = say, labels

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().rstrip()
        if not text or text.startswith(self._NOISE):
            return
        begun = re.match(r"Executing Cell (\d+)-*$", text)
        if begun is None:
            self._say(redact(text))
            return
        number = int(begun[1])
        label = self._labels[number - 1] if number <= len(self._labels) else f"— cell {number}"
        if label is not None:
            self._say(label)
