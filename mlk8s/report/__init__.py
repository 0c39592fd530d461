"""Results made readable: tables, plots with alt text, one self-contained HTML file, notebook views."""

from __future__ import annotations

from mlk8s.report.html import Report

__all__ = ["Report"]
