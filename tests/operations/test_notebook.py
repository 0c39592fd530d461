"""Running a notebook: what is said, what its last cell printed, and how a failure looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlk8s.errors import UsageError
from mlk8s.operations.notebook import NotebookFailed, run_notebook

METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3"},
    "language_info": {"name": "python"},
}


def write(path: Path, *cells: str) -> Path:
    book = nbformat.v4.new_notebook(metadata=METADATA)
    for source in cells:
        make: Any = nbformat.v4.new_markdown_cell if source.startswith("#") else nbformat.v4.new_code_cell
        book.cells.append(make(source))
    book.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def test_it_runs_says_where_it_is_and_returns_the_last_words(tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "a.ipynb",
        "# Title",
        "n = 1",
        "## Part",
        "print('working')",
        "print('n is', n)\nprint(__import__('os').getcwd())",
    )
    said: list[str] = []
    words = run_notebook(notebook, tmp_path / "done.ipynb", {"n": 5}, say=said.append)
    assert words == f"n is 5\n{tmp_path}\n"
    marks = [line for line in said if line.startswith("—")]
    assert marks == [
        "— cell 2 of 6: Title",
        "— cell 3 of 6: the given parameters",
        "— cell 5 of 6: Part",
        "— cell 6 of 6: Part",
    ]
    assert said[said.index("— cell 5 of 6: Part") + 1] == "working"
    assert (tmp_path / "done.ipynb").exists()


def test_a_cell_that_raises_is_told_and_the_notebook_is_kept(tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "a.ipynb", "# Title", "n = 1", "raise ValueError('no good')", "print('never')"
    )
    with pytest.raises(NotebookFailed, match="ValueError: no good") as caught:
        run_notebook(notebook, tmp_path / "done.ipynb", {}, say=lambda _: None)
    assert caught.value.where == str(tmp_path / "done.ipynb") and caught.value.exit_code == 1
    assert "no good" in (tmp_path / "done.ipynb").read_text()


def test_an_unknown_parameter_and_a_missing_notebook_are_refused_before_anything_runs(tmp_path: Path) -> None:
    notebook = write(tmp_path / "a.ipynb", "# Title", "n = 1\nm = 2")
    with pytest.raises(UsageError, match="no parameter 'k'") as caught:
        run_notebook(notebook, tmp_path / "done.ipynb", {"k": 1}, say=lambda _: None)
    assert caught.value.expected == "one of: n, m"
    with pytest.raises(UsageError, match="no such notebook"):
        run_notebook(tmp_path / "b.ipynb", tmp_path / "done.ipynb", {}, say=lambda _: None)
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(UsageError, match="not a notebook"):
        run_notebook(tmp_path / "text.ipynb", tmp_path / "done.ipynb", {}, say=lambda _: None)
    assert not (tmp_path / "done.ipynb").exists()
