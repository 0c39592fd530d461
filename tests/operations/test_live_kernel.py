"""A load test in the cell of a real kernel: what is shown, what stays, and the button that stops it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from kernel_front import Front, Kernel, running_kernel, subshell
from load_results import answered
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
def kernel() -> Iterator[Kernel]:
    with running_kernel() as found:
        yield found


@pytest.mark.parametrize("way", ["main", "subshell"])
@pytest.mark.timeout(180)
def test_the_button_ends_the_load_and_the_next_cell_follows(
    way: str, kernel: Kernel, url: str, tmp_path: Path
) -> None:
    client = kernel[1]
    directory = tmp_path / "run"
    header = {"subshell_id": subshell(client)} if way == "subshell" else {}
    front = Front(client, CELL.format(here=str(HERE), url=url, directory=str(directory), rps=50, hold="5m"))
    front.until(lambda: any("sending" in str(value) for _, (_, value) in front.changes))
    front.until(lambda: answered(directory) >= 10 and "achieved" in str(front.changes))
    (button,) = front.named("ButtonModel")
    following = client.execute("after = run.partial; print(after)")
    front.click(button, **header)
    front.until(lambda: front.over)
    assert not [content for kind, content in front.outputs if kind == "error"]
    run = Run.open(directory)
    assert run.partial == "stopped by the user"
    assert run.summary.total.ok >= 10 and run.summary.unanswered == 0, "what was sent was answered"
    left = [content["data"] for kind, content in front.outputs if kind == "update_display_data"]
    assert set(left[-1]) == {"text/plain", "text/html", "image/png"}
    assert "PARTIAL RESULTS: stopped by the user" in left[-1]["text/html"]
    reply = client.get_shell_msg(timeout=60)
    while reply["parent_header"]["msg_id"] != following:
        reply = client.get_shell_msg(timeout=60)
    assert reply["content"]["status"] == "ok", "the cell that was sent meanwhile runs after it"


@pytest.mark.timeout(180)
def test_lines_are_printed_until_somebody_sees_the_view(kernel: Kernel, url: str, tmp_path: Path) -> None:
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
