"""One HTML file that holds everything: sections with text, tables and pictures, no network needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlk8s.report.picture import Picture


@dataclass(frozen=True)
class Table:
    """Rows under headings; numbers are set right, everything is escaped."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


@dataclass(frozen=True)
class Section:
    """One part of a report."""

    heading: str
    anchor: str
    level: int
    text: tuple[str, ...]
    verdict: str | None
    tables: tuple[Table, ...]
    image: str | None
    caption: str
    code: str | None


class Report:
    """Sections, one after the other, written as one self-contained HTML file.

        report = mlk8s.Report("Quickstart")
        report.section("Canary", text="As asked.", table=[{"version": "1", "requests": 90}])
        report.write("report.html")

    Args:
        title: of the page.
        subtitle: a line below it, such as the time and the cluster.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._sections: list[Section] = []

    def section(
        self,
        heading: str,
        *,
        text: str | Iterable[str] = (),
        table: Any = None,
        figure: Picture | Figure | bytes | None = None,
        alt: str | None = None,
        caption: str = "",
        code: str | None = None,
        verdict: str | None = None,
        level: int = 2,
    ) -> Report:
        """Add a section and return the report.

        Args:
            text: a paragraph, or several.
            table: rows as dicts (keys are headings), one dict (name to value), or a pyarrow Table; a list
                of tables for several.
            figure: a Picture, a matplotlib Figure, or the bytes of a PNG.
            alt: what the figure shows, in words; needed unless the figure is a Picture, which has its own.
            code: shown as it is, such as the command that does it again.
            verdict: 'held', 'broken' or 'inconclusive', shown as a label.
            level: 2 for a part, 3 for a part of the one before.

        Raises:
            UsageError: a figure without alt text.
        """
        paragraphs = (text,) if isinstance(text, str) else tuple(text)
        self._sections.append(
            Section(
                heading=heading,
                anchor=f"part-{len(self._sections) + 1}",
                level=level,
                text=tuple(part for part in paragraphs if part),
                verdict=verdict,
                tables=tuple(_tables(table)),
                image=_image(figure, alt),
                caption=caption,
                code=code,
            )
        )
        return self

    def html(self) -> str:
        """Return the whole page."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("mlk8s.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("report.html.jinja").render(
            title=self.title, subtitle=self.subtitle, sections=self._sections
        )

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page and return its absolute path.

        Raises:
            UsageError: the file cannot be written.
        """
        file = Path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.html(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write the report: {error.strerror}", where=str(file)) from None
        return file.resolve()

    def __repr__(self) -> str:
        return f"Report {self.title!r}: " + ", ".join(section.heading for section in self._sections)


def _tables(table: Any) -> list[Table]:
    if table is None:
        return []
    if hasattr(table, "to_pylist"):
        table = table.to_pylist()
    if isinstance(table, Mapping):
        return [_table(("", "value"), [tuple(item) for item in table.items()])]
    rows = list(table)
    if rows and (not isinstance(rows[0], Mapping) or _is_values(rows)):
        return [made for item in rows for made in _tables(item)]
    if not rows:
        return []
    headings = tuple(dict.fromkeys(str(name) for row in rows for name in row))
    return [_table(headings, [tuple(row.get(name) for name in headings) for row in rows])]


def _is_values(rows: Sequence[Any]) -> bool:
    """Whether these are tables (dicts of values with nothing in common) rather than rows of one table."""
    return len(rows) > 1 and not set(rows[0]).intersection(*map(set, rows[1:]))


def _table(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    columns = zip(*rows, strict=True) if rows else ()
    numeric = tuple(
        any(isinstance(value, (int, float)) for value in column)
        and all(value is None or isinstance(value, (int, float)) for value in column)
        for column in columns
    )
    return Table(headings, tuple(tuple(shown(value) for value in row) for row in rows), numeric)


def shown(value: Any) -> str:
    """Return a table's value as text: a dash for None, thousands told apart, floats with four digits."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)


def _image(figure: Any, alt: str | None) -> str | None:
    from markupsafe import Markup

    from mlk8s.report.picture import Picture

    if figure is None:
        return None
    if isinstance(figure, bytes):
        from base64 import b64encode
        from html import escape

        source = f"data:image/png;base64,{b64encode(figure).decode()}"
        image = f'<img src="{source}" alt="{escape(alt or "", quote=True)}">'
    else:
        picture = figure if isinstance(figure, Picture) else Picture(figure, alt or "")
        alt = alt or picture.alt
        image = Picture(picture.figure, alt, raster=picture.raster).img()
    if not alt:
        raise UsageError("a figure without alt text", expected="alt: what the figure shows, in words")
    return Markup(image)  # noqa: S704  # our own element around base64; the alt text is escaped
