from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from matplotlib.figure import Figure

import mlk8s
from mlk8s.errors import UsageError


def figure() -> Figure:
    made = Figure(figsize=(2, 1))
    made.subplots().plot([1, 2], [3, 4])
    return made


def test_several_sections_with_every_kind_of_content(tmp_path: Path) -> None:
    report = mlk8s.Report("Quickstart <1>", "local & real")
    report.section(
        "Canary", text=["One.", "Two."], table=[{"version": "1", "requests": 1234}, {"version": "2"}]
    )
    report.section("Facts", table={"digest": "sha256:ab", "rows": 1797}, code="a < b")
    report.section("Arrow", table=pa.table({"x": [1.23456, None]}), level=3)
    report.section("Picture", figure=figure(), alt='a "rising" line', caption="rising", verdict="held")
    text = report.write(tmp_path / "report.html").read_text()
    for words in (
        "Quickstart &lt;1&gt;", "local &amp; real", "<p>Two.</p>", "1,234", "–", "sha256:ab", "a &lt; b",
        "1.235", "<h3", "a &quot;rising&quot; line", "<figcaption>rising</figcaption>", "Verdict: held",
        "data:image/svg+xml",
    ):  # fmt: skip
        assert words in text


def test_a_figure_needs_alt_text() -> None:
    with pytest.raises(UsageError, match="alt text"):
        mlk8s.Report("x").section("y", figure=figure())


def test_text_cannot_become_markup() -> None:
    text = mlk8s.Report("x").section("<b>", text="<script>alert(1)</script>", table=[{"<i>": "<u>"}]).html()
    for words in ("<script>", "<b>", "<i>", "<u>"):
        assert words not in text


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the report"):
        mlk8s.Report("x").write(tmp_path / "file" / "report.html")
