"""Work that goes on when the API server is back."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlk8s.errors import Conflict, Mlk8sError, Unreachable
from mlk8s.operations.lease import OperatorLease

OUTAGE = 1_800.0
"""Seconds for which an API server that does not answer is waited for."""
_PAUSE = 2.0


class Outage:
    """Tells an API server that is away from one that says no, and waits for it.

    Args:
        resume: the command that goes on when this process has given up.
    """

    def __init__(self, name: str, say: Callable[[str], None], resume: str) -> None:
        self._name, self._say, self._resume = name, say, resume
        self._since: float | None = None

    def over(self) -> None:
        """Take note that it answers."""
        if self._since is not None:
            self._say(f"{self._name}: the API server answers again; going on")
            self._since = None

    def wait(self, error: Mlk8sError, lease: OperatorLease | None) -> None:
        """Wait a moment where the API server is away, and raise `error` where it said no.

        Raises:
            Unreachable: it has been away for half an hour.
        """
        cut_off = isinstance(error, Conflict) and lease is not None and lease.cut_off
        if not cut_off and not isinstance(error, Unreachable):
            raise error
        if self._since is None:
            self._since = time.monotonic()
            self._say(
                f"{self._name}: the API server does not answer; the weight stays as it is until it does"
            )
        if time.monotonic() - self._since > OUTAGE:
            raise Unreachable(
                f"the API server did not answer for {OUTAGE / 60:g} min: {error.what}",
                where=error.where,
                next_step=f"`{self._resume}` goes on; the weight is what it was",
            ) from error
        time.sleep(_PAUSE)
