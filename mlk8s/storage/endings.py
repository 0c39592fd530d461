"""How a process in a pod says why it ended: one line on stderr and as the container's termination message."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlk8s.errors import Mlk8sError

_LIMIT = 4096  # bytes that Kubernetes keeps of a termination message


def one_line(error: BaseException) -> str:
    """An error as one line: what, then where, expected and next step."""
    if not isinstance(error, Mlk8sError):
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    named = (("where", error.where), ("expected", error.expected), ("next", error.next_step))
    parts = [error.what.rstrip("."), *(f"{name}: {text}" for name, text in named if text)]
    return " ".join("; ".join(parts).split())


def tell_end(message: str) -> None:
    """Write a message to stderr and leave it as the termination message."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201  the container's log
    leave_message(message)


def leave_message(message: str) -> None:
    """Leave a message for Kubernetes: in TERMINATION_LOG, by default /dev/termination-log."""
    path = Path(os.environ.get("TERMINATION_LOG", "/dev/termination-log"))
    if not path.exists():  # not in a pod; Kubernetes makes the file
        return
    try:
        path.write_bytes(message.encode()[:_LIMIT])
    except OSError:
        return
