"""What a rollout's view leaves behind: an ordinary output of a notebook, whole in each of its forms."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from mlk8s.report.evidence import Entries, draw_entries
from mlk8s.report.picture import Picture

if TYPE_CHECKING:
    from mlk8s.operations.canary_watch import Watched
    from mlk8s.operations.rollout_view import CanaryResult


def end_html(
    name: str, result: CanaryResult | Watched | None, why: str, entries: Entries, said: Sequence[str]
) -> dict[str, str]:
    """Return how it ended as text, as HTML with the picture inside, and as the picture alone.

    Args:
        name: of the service.
        result: None where it was broken off.
        why: what is left then.
        entries: what was shown, for where the result has no record.
        said: every line that was said.
    """
    heading, *lines = (
        str(result).splitlines() if result is not None else (f"{name}: broken off", *why.splitlines())
    )
    record = result.record if result is not None else None
    known = record.entries if record is not None and record.entries else entries
    picture = draw_entries(known, title=heading) if known else None
    plain = "\n".join([heading, *lines])
    return {"text/plain": plain, "text/html": _html(heading, lines, picture, said), **_png(picture)}


def _html(heading: str, lines: Sequence[str], picture: Picture | None, said: Sequence[str]) -> str:
    words = "".join(f"<div>{escape(line.strip())}</div>" for line in lines)
    image = ""
    if picture is not None:
        image = picture.img(vector=False).replace("<img ", '<img style="max-width:100%;background:#fff" ')
    every = "".join(f"<div>{escape(line)}</div>" for line in said)
    log = f"<details><summary>What was said</summary>{every}</details>" if said else ""
    head = f'<div style="font-weight:600">{escape(heading)}</div>'
    return f'<div style="line-height:1.35">{head}{words}{image}{log}</div>'


def _png(picture: Picture | None) -> dict[str, str]:
    return {} if picture is None else {"image/png": b64encode(picture.png()).decode()}
