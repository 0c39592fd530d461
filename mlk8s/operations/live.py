"""Which view shows a running load test, or a running rollout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mlk8s.clients.kernel import running_kernel
from mlk8s.errors import UsageError
from mlk8s.operations.drive import Lines, View
from mlk8s.spec.load import LoadProfile

if TYPE_CHECKING:
    from mlk8s.operations import rollout_view
    from mlk8s.report.evidence import Entries

Opener = Callable[[LoadProfile, str], View]
"""Takes the profile and the name of the service."""
Say = Callable[[str], None]


def choose(live: bool | Opener | None) -> Opener:
    """Return what opens the view that `live` asks for: a given one, a notebook's, or plain lines.

    Args:
        live: None shows it where there is a kernel that can.

    Raises:
        UsageError: True, and there is no IPython kernel, or no ipywidgets.
    """
    if callable(live):
        return live
    kernel = _kernel(live)
    if kernel is None:
        return lambda _profile, _name: Lines()
    from mlk8s.report.live_notebook import NotebookView

    return partial(NotebookView, kernel)


def choose_canary(
    live: bool | None, name: str, say: Say, left: Callable[[], str], known: Callable[[], Entries]
) -> tuple[rollout_view.View, Say]:
    """Return the view of a rollout that `live` asks for, and what is to be told each line.

    Args:
        live: None shows it where there is a kernel that can.
        left: says what the cluster has when it was interrupted.
        known: returns the blocks that were before the first one that is shown.

    Raises:
        UsageError: as `choose`.
    """
    kernel = _kernel(live)
    if kernel is None:
        from mlk8s.operations import rollout_view

        return rollout_view.Lines(say), say
    from mlk8s.report.live_canary_notebook import CanaryView

    view = CanaryView(kernel, name, say, left, known)
    return view, view.say


def _kernel(live: bool | None) -> Any | None:
    """Return the kernel that shows it; None for plain lines."""
    if live is False:
        return None
    kernel = running_kernel()
    if kernel is not None and find_spec("ipywidgets") is not None:
        return kernel
    if live is None:
        return None
    raise UsageError(
        "a live view needs a notebook" if kernel is None else "ipywidgets is not installed",
        expected="an IPython kernel with ipywidgets, or live=False",
    )
