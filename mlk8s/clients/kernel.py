"""The IPython kernel that this code runs in: its widgets' messages, also while a cell runs."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from typing import Any

_COMMS = ("comm_open", "comm_msg", "comm_close")
_later = set[asyncio.Future[Any]]()
"""What was kept and is not handled yet: the loop itself holds no task."""


def running_kernel() -> Any | None:
    """Return the IPython kernel of this process, None where there is none; imports nothing for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


class WidgetMessages:
    """Handles what widgets of the front end say while a cell runs, which keeps the kernel's loop from it.

    A front end that sends them to a subshell (JupyterLab from 4.4 on with ipykernel 7) needs no help: its
    messages come in a thread of their own. Those of every other one wait for the end of the cell. `handle`
    takes them out of the stream that the cell blocks, on the thread that owns it, and keeps everything else,
    such as the next cell, in its order until `close`.

    Args:
        kernel: an ipykernel from 6 on.
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._kept: list[Any] = []
        self._stream = _stream(kernel) if threading.current_thread() is threading.main_thread() else None
        if self._stream is not None:
            self._callback = self._stream._recv_callback
            self._copy = self._stream._recv_copy
            self._stream.on_recv(self._take, copy=False)

    def handle(self) -> None:
        """Handle the messages that are there; never waits."""
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Give the stream back to the kernel, with what was kept."""
        if self._stream is None:
            return
        self._stream.on_recv(self._callback, copy=self._copy)
        self._stream = None
        for message in self._kept:
            again = self._callback(message)
            if inspect.isawaitable(again):
                _later.add(task := asyncio.ensure_future(again))
                task.add_done_callback(_later.discard)

    def _take(self, frames: list[Any]) -> None:
        kernel = self._kernel
        try:
            idents, parts = kernel.session.feed_identities(frames, copy=False)
            kind = kernel.session.unpack(parts[1].bytes)["msg_type"]
            if kind not in _COMMS:
                self._kept.append(frames)
                return
            message = kernel.session.deserialize(parts, content=True, copy=False)
        except Exception:
            self._kept.append(frames)  # the kernel has its own words for what is no message
            return
        # A front end holds back a widget's next change until the kernel is idle after the last one.
        kernel._publish_status("busy", "shell", parent=message)
        kernel.shell_handlers[kind](self._stream, idents, message)
        kernel._publish_status("idle", "shell", parent=message)
        kernel._publish_status("busy", "shell")  # the cell still runs


def _stream(kernel: Any) -> Any | None:
    """Return the stream that brings shell messages to the main thread, None in a kernel of another making."""
    thread = getattr(kernel, "shell_channel_thread", None)
    try:
        if thread is None:
            stream = kernel.shell_stream
        else:  # ipykernel 7: another thread has the socket and hands on what is for the main one
            stream = thread.manager.get_shell_channel_to_subshell_pair(None).to_stream
        return stream if callable(stream._recv_callback) and callable(stream.flush) else None
    except AttributeError:
        return None
