"""A load test at a glance: what a live view leaves behind, as an ordinary output of a notebook."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mlk8s.report.alt import milliseconds
from mlk8s.report.live import Number, numbers_cells, rate, split_unit
from mlk8s.report.plots import draw_glance
from mlk8s.report.run import in_words

if TYPE_CHECKING:
    from mlk8s.operations.run import Run


def glance(run: Run) -> dict[str, str]:
    """Return the run as text, as HTML with the picture inside, and as the picture alone.

    A front end shows the richest form that it knows, so each of them is whole.
    """
    picture = draw_glance(run.timeline(), run.summary, slo=run.slo, warmup=run.profile.warmup)
    png = b64encode(picture.png(100)).decode()
    first, *rest = in_words(run).splitlines()
    state = rest.pop(0) if run.partial else "sent to its end"
    lines = "".join(f"<div>{escape(line)}</div>" for line in rest)
    image = (
        f'<img style="max-width:100%;background:#fff" alt="{escape(picture.alt, quote=True)}" '
        f'src="data:image/png;base64,{png}">'
    )
    html = (
        f'<div style="line-height:1.35"><div style="font-weight:600">{escape(first)}</div>'
        f'<div style="font-weight:{600 if run.partial else 400}">{escape(state)}</div>'
        f"{numbers_cells(totals(run))}{image}{lines}</div>"
    )
    return {"text/plain": repr(run), "text/html": html, "image/png": png}


def totals(run: Run) -> list[Number]:
    """Return what a live view showed second by second as numbers of the whole run."""
    summary = run.summary
    seconds = sum(stage.seconds for stage in summary.stages)
    offered = [stage.offered_rps for stage in summary.stages]
    known = [value * stage.seconds for value, stage in zip(offered, summary.stages, strict=True) if value]
    found, total, ready = summary.percentiles, summary.total, run.timeline()["replicas_ready"]
    ends = sorted({count for count in pc.min_max(ready).as_py().values() if count is not None})
    replicas = " to ".join(map(str, ends)) or "–"
    return [
        Number("offered, mean", rate(sum(known) / seconds) if known and seconds else "–", "requests/s"),
        Number("achieved, mean", rate(total.ok / seconds) if seconds else "–", "requests/s"),
        *(Number(name, *split_unit(milliseconds(found[name]))) for name in ("p50", "p95", "p99")),
        Number("errors", f"{total.total - total.ok:,}", f"of {total.total:,} requests"),
        Number("replicas", replicas, "ready"),
    ]
