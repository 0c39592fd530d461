"""Small charts as SVG text, in the front end's own ink: cheap enough to be made anew while something runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import ceil
from typing import NamedTuple

INK = "currentColor"
"""What the front end writes with: black on white, white on black."""
_SHARE = 70
"""Percent of a colour; the rest is ink, so that it is seen on white and on black (3 to 1, text 4.5 to 1)."""
_HALO = "stroke:var(--jp-layout-color0,transparent);stroke-width:3px;paint-order:stroke"
"""Keeps a word readable that a line runs through."""
LEFT, RIGHT, BOTTOM = 44, 8, 20
"""Pixels beside and below the frame."""
_TITLE, _ROW = 20, 14
"""Pixels that the title takes, and a row of the legend."""
Point = tuple[float, float | None]


class Line(NamedTuple):
    """How a line looks: told apart by its dashes, too."""

    name: str
    dashes: str
    width: float
    colour: str
    opacity: str = ""

    @property
    def look(self) -> str:
        """Its attributes."""
        dashes = f' stroke-dasharray="{self.dashes}"' if self.dashes else ""
        pale = f' stroke-opacity="{self.opacity}"' if self.opacity else ""
        return f'{painted("stroke", self.colour)} stroke-width="{self.width}" fill="none"{dashes}{pale}'


@dataclass(frozen=True)
class Frame:
    """Where values lie in a chart.

    Args:
        title: above it, with the unit.
        lines: what the legend names, wrapped where it is too long for a row.
        across: first and last value of the horizontal axis.
        up: lowest and highest value of the vertical axis; what is beyond them is drawn at the edge.
        width, height: in pixels, all together.
    """

    title: str
    lines: Sequence[Line]
    across: tuple[float, float]
    up: tuple[float, float]
    width: int = 304
    height: int = 132

    @cached_property
    def top(self) -> int:
        """Pixels above the frame."""
        return _TITLE + _ROW * (1 + max((row for row, _, _ in self._places), default=0))

    def x(self, value: float) -> float:
        """Return where a value of the horizontal axis lies."""
        first, last = self.across
        return LEFT + (self.width - LEFT - RIGHT) * (value - first) / (last - first)

    def y(self, value: float) -> float:
        """Return where a value of the vertical axis lies."""
        low, high = self.up
        share = (min(high, max(low, value)) - low) / (high - low)
        return self.top + (self.height - self.top - BOTTOM) * (1 - share)

    def path(self, points: Sequence[Point], *, steps: bool = False) -> str:
        """Return points as the text of a path; what is unknown interrupts it."""
        text, pen_up = [], True
        for across, up in points:
            if up is None:
                pen_up = True
                continue
            x, y = self.x(across), self.y(up)
            if pen_up:
                text.append(f"M{x:.1f} {y:.1f}h.1")
                pen_up = False
            else:
                text.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}")
        return "".join(text)

    def drawn(self, line: Line, points: Sequence[Point], *, steps: bool = False) -> str:
        """Return a line through points; empty where nothing is known."""
        path = self.path(points, steps=steps)
        return f'<path d="{path}" {line.look} stroke-linejoin="round"/>' if path else ""

    def level(self, line: Line, value: float) -> str:
        """Return a line across the whole frame."""
        return f'<path d="M{LEFT} {self.y(value):.1f}H{self.width - RIGHT}" {line.look}/>'

    def chart(
        self,
        parts: Sequence[str],
        *,
        ticks: Sequence[tuple[float, str]],
        below: tuple[str, str, str],
        alt: str,
    ) -> str:
        """Return the whole chart.

        Args:
            parts: what is drawn in the frame, the last one in front.
            ticks: value and label of the vertical axis.
            below: left end, name and right end of the horizontal axis.
            alt: what a reader who cannot see it needs to know.
        """
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        grid = "".join(f"M{LEFT} {self.y(value):g}H{right}" for value, _ in ticks if value != self.up[0])
        first, name, last = below
        whole = [
            f'<text x="0" y="12" font-size="12" font-weight="600">{escape(self.title)}</text>',
            f'<path d="{grid}" stroke="currentColor" stroke-opacity=".2" fill="none"/>',
            f'<path d="M{LEFT} {self.top}V{bottom}H{right}" stroke="currentColor" fill="none"/>',
            *(text(LEFT - 4, self.y(value) + 3.5, label, "end") for value, label in ticks),
            text(LEFT, self.height - 6, first, "start"),
            text((LEFT + right) / 2, self.height - 6, name, "middle"),
            text(right, self.height - 6, last, "end"),
            *self._legend(),
            *parts,
        ]
        return (
            f'<svg role="img" aria-label="{escape(alt, quote=True)}" width="{self.width}" '
            f'height="{self.height}" viewBox="0 0 {self.width} {self.height}" fill="currentColor" '
            f'font-family="inherit"><title>{escape(alt)}</title>{"".join(whole)}</svg>'
        )

    @cached_property
    def _places(self) -> list[tuple[int, float, Line]]:
        """Return row and place of each entry of the legend."""
        found, row, place = [], 0, float(LEFT)
        for line in self.lines:
            wide = 38 + 6.2 * len(line.name)
            if place > LEFT and place + wide > self.width:
                row, place = row + 1, float(LEFT)
            found.append((row, place, line))
            place += wide
        return found

    def _legend(self) -> list[str]:
        return [
            f'<path d="M{place:g} {23 + _ROW * row}H{place + 26:g}" {line.look}/>'
            f'<text x="{place + 30:g}" y="{26.5 + _ROW * row:g}" font-size="11">{escape(line.name)}</text>'
            for row, place, line in self._places
        ]


def beside(charts: Sequence[str]) -> str:
    """Return charts side by side, in as many rows as they need."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 12px">{"".join(charts)}</div>'


def text(x: float, y: float, words: str, anchor: str, *, colour: str = "") -> str:
    """Return a small text; `anchor` is start, middle or end."""
    fill = f" {painted('fill', colour, _HALO)}" if colour else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="10" text-anchor="{anchor}"{fill}>{escape(words)}</text>'


def painted(what: str, colour: str, more: str = "") -> str:
    """Return the attributes that paint with a colour, which the theme's ink makes lighter or darker.

    Args:
        what: fill or stroke.
        more: further style.
    """
    # The plain attribute is for a browser that cannot mix.
    mixed = f"{what}:color-mix(in srgb,{colour} {_SHARE}%,{INK})" if colour != INK else ""
    style = ";".join(part for part in (mixed, more) if part)
    return f'{what}="{colour}"' + (f' style="{style}"' if style else "")


def round_up(value: float) -> float:
    """Return the next number of 1, 2, 3, 4, 6 and 8 times a power of ten, at least 0.01."""
    scale = 0.01
    while True:
        for step in (1, 2, 3, 4, 6, 8):
            if value <= scale * step * (1 + 1e-9):
                return ceil(scale * step) if scale >= 1 else scale * step
        scale *= 10


def short(value: float) -> str:
    """Return a number with three digits, or as a whole one."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
