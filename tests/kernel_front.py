"""A front end of the tests' own: it starts a kernel, runs a cell, and sends what widgets' buttons send."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

Kernel = tuple[KernelManager, BlockingKernelClient]


@contextmanager
def running_kernel() -> Iterator[Kernel]:
    """Run a kernel while the block runs."""
    manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


class Front:
    """What a front end knows of a running cell: its widgets' values, and the outputs."""

    def __init__(self, client: BlockingKernelClient, code: str) -> None:
        self.client = client
        self.request = client.execute(code)
        self.widgets: dict[str, dict[str, Any]] = {}
        self.changes: list[tuple[str, Any]] = []
        self.outputs: list[tuple[str, dict[str, Any]]] = []
        self.over = False

    def listen(self, seconds: float = 60.0) -> None:
        """Take the next message."""
        message = self.client.get_iopub_msg(timeout=seconds)
        kind, content = message["msg_type"], message["content"]
        mine = message["parent_header"].get("msg_id") == self.request
        if kind == "comm_open":
            self.widgets[content["comm_id"]] = dict(content["data"]["state"])
        elif kind == "comm_msg" and content["data"].get("method") == "update":
            self.widgets[content["comm_id"]] |= content["data"]["state"]
            self.changes += [(content["comm_id"], item) for item in content["data"]["state"].items()]
        elif kind in ("display_data", "update_display_data", "stream", "error"):
            self.outputs.append((kind, content))
        elif kind == "status" and content["execution_state"] == "idle" and mine:
            self.over = True

    def named(self, model: str) -> list[str]:
        """Return the widgets of a model, in the order in which they were made."""
        return [comm for comm, state in self.widgets.items() if state.get("_model_name") == model]

    def until(self, done: Any, seconds: float = 90.0) -> None:
        """Take messages until something holds."""
        end = time.monotonic() + seconds
        while not done() and not self.over and time.monotonic() < end:
            self.listen()
        assert done(), self.outputs

    def say(self, comm: str, data: dict[str, Any], **header: Any) -> None:
        """Send a widget's message, as a front end does."""
        session = self.client.session
        message = session.msg("comm_msg", {"comm_id": comm, "data": data})
        message["header"].update(header)
        self.client.shell_channel.send(message)

    def click(self, comm: str, **header: Any) -> None:
        """Click a button."""
        self.say(comm, {"method": "custom", "content": {"event": "click"}}, **header)

    def seen(self) -> None:
        """Say that the first widget that wants to know is shown."""
        comm = next(comm for comm, state in self.widgets.items() if state.get("_view_count") == 0)
        self.say(comm, {"method": "update", "state": {"_view_count": 1}, "buffer_paths": []})


def subshell(client: BlockingKernelClient) -> str:
    """Return the id of a new subshell."""
    client.control_channel.send(client.session.msg("create_subshell_request"))
    while True:
        reply = client.get_control_msg(timeout=30)
        if reply["msg_type"] == "create_subshell_reply":
            return str(reply["content"]["subshell_id"])
