"""Which view shows a running load test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from mlk8s.clients.kernel import running_kernel
from mlk8s.errors import UsageError
from mlk8s.operations.drive import Lines, View
from mlk8s.spec.load import LoadProfile

Opener = Callable[[LoadProfile, str], View]
"""Takes the profile and the name of the service."""


def choose(live: bool | Opener | None) -> Opener:
    """Return what opens the view that `live` asks for: a given one, a notebook's, or plain lines.

    Args:
        live: None shows it where there is a kernel that can.

    Raises:
        UsageError: True, and there is no IPython kernel, or no ipywidgets.
    """
    if live is False:
        return lambda _profile, _name: Lines()
    if callable(live):
        return live
    kernel = running_kernel()
    if kernel is not None and find_spec("ipywidgets") is not None:
        from mlk8s.report.live_notebook import NotebookView

        return partial(NotebookView, kernel)
    if live is None:
        return lambda _profile, _name: Lines()
    raise UsageError(
        "a live view needs a notebook" if kernel is None else "ipywidgets is not installed",
        expected="an IPython kernel with ipywidgets, or live=False",
    )
