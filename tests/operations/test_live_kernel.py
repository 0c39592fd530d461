"""A load test in the cell of a real kernel: what is shown, what stays, and the button that stops it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

from mlk8s.operations.run import Run

HERE = Path(__file__).parent
CELL = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
import mlk8s
from local_load import load
run = load({url!r}, Path({directory!r}), mlk8s.LoadProfile.constant(rps={rps}, hold={hold!r}))
assert "locust" not in sys.modules and "gevent" not in sys.modules
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, str(HERE.parent / "loadgen" / "v2server.py")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.terminate()
    server.wait()
    server.stdout.close()


@pytest.fixture
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
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
        return [comm for comm, state in self.widgets.items() if state.get("_model_name") == model]

    def until(self, done: Any) -> None:
        end = time.monotonic() + 90
        while not done() and not self.over and time.monotonic() < end:
            self.listen()
        assert done(), self.outputs

    def say(self, comm: str, data: dict[str, Any], **header: Any) -> None:
        """Send a widget's message, as a front end does."""
        session = self.client.session
        message = session.msg("comm_msg", {"comm_id": comm, "data": data})
        message["header"].update(header)
        self.client.shell_channel.send(message)


def subshell(client: BlockingKernelClient) -> str:
    client.control_channel.send(client.session.msg("create_subshell_request"))
    while True:
        reply = client.get_control_msg(timeout=30)
        if reply["msg_type"] == "create_subshell_reply":
            return str(reply["content"]["subshell_id"])


@pytest.mark.parametrize("way", ["main", "subshell"])
@pytest.mark.timeout(180)
def test_the_button_ends_the_load_and_the_next_cell_follows(
    way: str, kernel: tuple[KernelManager, BlockingKernelClient], url: str, tmp_path: Path
) -> None:
    client = kernel[1]
    directory = tmp_path / "run"
    header = {"subshell_id": subshell(client)} if way == "subshell" else {}
    front = Front(client, CELL.format(here=str(HERE), url=url, directory=str(directory), rps=50, hold="5m"))
    front.until(lambda: any("sending" in str(value) for _, (_, value) in front.changes))
    front.until(lambda: len(list(directory.glob("requests-*.jsonl"))) and "achieved" in str(front.changes))
    (button,) = front.named("ButtonModel")
    following = client.execute("after = run.partial; print(after)")
    front.say(button, {"method": "custom", "content": {"event": "click"}}, **header)
    front.until(lambda: front.over)
    assert not [content for kind, content in front.outputs if kind == "error"]
    run = Run.open(directory)
    assert run.partial == "stopped by the user"
    assert run.summary.total.ok >= 10 and run.summary.unanswered == 0, "what was sent was answered"
    left = [content["data"] for kind, content in front.outputs if kind == "update_display_data"]
    assert set(left[-1]) == {"text/plain", "text/html", "image/png"}
    assert "PARTIAL RESULTS: stopped by the user" in left[-1]["text/html"]
    reply = client.get_shell_msg(timeout=30)
    while reply["parent_header"]["msg_id"] != following:
        reply = client.get_shell_msg(timeout=30)
    assert reply["content"]["status"] == "ok", "the cell that was sent meanwhile runs after it"


@pytest.mark.timeout(180)
def test_lines_are_printed_until_somebody_sees_the_view(
    kernel: tuple[KernelManager, BlockingKernelClient], url: str, tmp_path: Path
) -> None:
    code = CELL.format(here=str(HERE), url=url, directory=str(tmp_path / "run"), rps=20, hold="12s")
    front = Front(kernel[1], code)
    front.until(lambda: "sending" in str(front.changes))
    seen = next(comm for comm, state in front.widgets.items() if state.get("_view_count") == 0)
    front.say(seen, {"method": "update", "state": {"_view_count": 1}, "buffer_paths": []})
    front.until(lambda: front.over)
    assert not [content for kind, content in front.outputs if kind in ("stream", "error")]
    html = [value for comm, (name, value) in front.changes if comm == seen and name == "value"]
    assert len(html) >= 2 * 12, "updated twice a second at least"
    for word in ("offered", "achieved", "p50", "p95", "p99", "errors", "replicas"):
        assert word in html[-2]


@pytest.mark.timeout(180)
def test_what_stays_survives_saving(url: str, tmp_path: Path) -> None:
    code = CELL.format(here=str(HERE), url=url, directory=str(tmp_path / "run"), rps=20, hold="3s")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    file = tmp_path / "done.ipynb"
    nbformat.write(book, file)
    (output,) = [item for item in nbformat.read(file, as_version=4).cells[0].outputs if "data" in item]
    assert set(output.data) == {"text/plain", "text/html", "image/png"}
    assert "60 requests, 0 without a right answer" in output.data["text/html"]
    assert 'alt="' in output.data["text/html"]


def test_without_a_kernel_there_is_no_view(tmp_path: Path) -> None:
    from mlk8s.errors import UsageError
    from mlk8s.operations.drive import Lines
    from mlk8s.operations.live import choose
    from mlk8s.spec.load import LoadProfile

    assert isinstance(choose(None)(LoadProfile.constant(rps=1, hold=1), "m"), Lines)
    with pytest.raises(UsageError, match="a live view needs a notebook"):
        choose(True)
