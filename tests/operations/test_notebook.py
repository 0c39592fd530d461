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


def test_secrets_are_not_in_the_executed_notebook_nor_in_what_is_said(tmp_path: Path) -> None:
    # Put together here, so that this file has no form of a secret itself.
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    show = f"print('key', {secret[:4]!r} + {secret[4:]!r}, 'of ' 'postgres://me:' 'pw@' 'db/x')"
    notebook = write(
        tmp_path / "a.ipynb", "# Title", "n = 1", show, f"raise ValueError({secret[:4]!r} + {secret[4:]!r})"
    )
    said: list[str] = []
    with pytest.raises(NotebookFailed) as caught:
        run_notebook(notebook, tmp_path / "done.ipynb", {}, say=said.append)
    done = (tmp_path / "done.ipynb").read_text()
    for text in (done, "\n".join(said), str(caught.value)):
        assert secret not in text and "[redacted]" in text
    assert "me:pw" not in done
    nbformat.validate(nbformat.read(tmp_path / "done.ipynb", as_version=4))
    with pytest.raises(UsageError, match="'password' looks like a secret") as refused:
        run_notebook(
            write(tmp_path / "b.ipynb", "# Title", "password = ''"), tmp_path / "b-done.ipynb",
            {"password": "hunter2"}, say=lambda _: None,
        )  # fmt: skip
    assert "hunter2" not in str(refused.value) and not (tmp_path / "b-done.ipynb").exists()


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
