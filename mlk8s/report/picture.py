"""A figure with its alternative text: for a notebook, for an HTML file, or as a file of its own."""

from __future__ import annotations

import os
from base64 import b64encode
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture:
    """A drawn figure and a sentence that says the same.

    Args:
        figure: a matplotlib Figure made without pyplot, so that no global state is touched.
        alt: what a reader who cannot see the picture needs to know.
        caption: shown below the picture; empty for none.
        raster: draw pixels where a path would do: with thousands of points they are smaller, and sooner made.
    """

    def __init__(self, figure: Figure, alt: str, caption: str = "", *, raster: bool = False) -> None:
        self.figure = figure
        self.alt = alt
        self.caption = caption
        self.raster = raster

    def png(self, dpi: int = 130) -> bytes:
        """Return the picture as PNG."""
        return self._saved("png", dpi=dpi)

    def svg(self) -> bytes:
        """Return the picture as SVG, text as outlines, so that it looks the same everywhere."""
        return self._saved("svg")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture into a file; its ending says the format (png, svg, pdf)."""
        file = Path(path)
        file.write_bytes(self._saved(file.suffix.lstrip(".") or "png"))
        return file

    def img(self, *, vector: bool = True) -> str:
        """Return an HTML img element with the picture inside, as SVG or PNG, and its alt text."""
        kind, data = (
            ("image/svg+xml", self.svg()) if vector and not self.raster else ("image/png", self.png())
        )
        return (
            f'<img src="data:{kind};base64,{b64encode(data).decode()}" alt="{escape(self.alt, quote=True)}">'
        )

    def _saved(self, kind: str, **options: Any) -> bytes:
        buffer = BytesIO()
        # No date and no random ids: the same run gives the same bytes.
        metadata = {"Date": None} if kind == "svg" else {}
        self.figure.savefig(buffer, format=kind, metadata=metadata, **options)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        image = self.img(vector=False).replace("<img ", '<img style="max-width:100%" ')
        return {"text/plain": self.alt, "text/html": f"<figure>{image}</figure>"}
