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

Say = Callable[[str], None]
_LONGEST_DIRECTORY = 55  # a Unix socket's path has at most 107 bytes, and /kernel-UUID-ipc-N comes after it


class NotebookFailed(Mlk8sError):
    """A cell raised; the executed notebook shows where."""


def run_notebook(notebook: Path, executed: Path, parameters: Mapping[str, Any], *, say: Say = print) -> str:
    """Run a notebook in its own directory and return what its last cell printed.

    Args:
        executed: where the notebook with its outputs is written; also when a cell fails.
        parameters: values for the cell tagged `parameters`.
        say: gets a line a cell, and what the cells print.

    Raises:
        UsageError: no such notebook, or it has no such parameter (papermill itself would only warn).
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
    return "".join(
        item["text"] for item in outputs if item["output_type"] == "stream" and item["name"] == "stdout"
    )


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
            self._say(text)
            return
        number = int(begun[1])
        label = self._labels[number - 1] if number <= len(self._labels) else f"— cell {number}"
        if label is not None:
            self._say(label)
