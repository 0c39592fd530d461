"""docs/lint.md is what the rules say."""

from __future__ import annotations

from pathlib import Path

from mlk8s.cli.lint_reference import lint_reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "lint.md"


def test_the_table_is_not_older_than_the_rules() -> None:
    assert DOCUMENT.read_text() == lint_reference(), "run `make docs`"
