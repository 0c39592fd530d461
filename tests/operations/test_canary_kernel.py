"""A rollout in the cell of a real kernel: what is shown, the buttons that work while it runs, what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel_front import Front, Kernel, running_kernel, subshell
from nbclient import NotebookClient

HERE = Path(__file__).parent
CELL = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
from canary_script import play
result = play(Path({directory!r}){more})
"""


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with running_kernel() as found:
        yield found


def cell(directory: Path, more: str = "") -> str:
    return CELL.format(here=str(HERE), directory=str(directory / "run"), more=more)


class Buttons:
    """The view's buttons by what stands on them."""

    def __init__(self, front: Front, header: dict[str, Any]) -> None:
        self._front, self._header = front, header
        self.promote, self.hold, self.rollback, self.yes, self.no = front.named("ButtonModel")

    def word(self, comm: str) -> str:
        return str(self._front.widgets[comm]["description"])

    def disabled(self, comm: str) -> bool:
        return bool(self._front.widgets[comm].get("disabled"))

    def click(self, comm: str) -> None:
        self._front.click(comm, **self._header)

    def press(self, comm: str, then: Any) -> None:
        """Click when it can be clicked, and wait for what follows."""
        self._front.until(lambda: not self.disabled(comm))
        self.click(comm)
        self._front.until(then)


def shown(front: Front) -> str:
    """Return what the widgets show now."""
    return " ".join(str(front.widgets[comm].get("value", "")) for comm in front.named("HTMLModel"))


@pytest.mark.parametrize("way", ["main", "subshell"])
@pytest.mark.timeout(180)
def test_hold_goes_on_and_rollback_needs_a_yes(way: str, kernel: Kernel, tmp_path: Path) -> None:
    client = kernel[1]
    header = {"subshell_id": subshell(client)} if way == "subshell" else {}
    front = Front(client, cell(tmp_path))
    front.until(lambda: "of the canary" in shown(front))
    front.seen()
    buttons = Buttons(front, header)
    following = client.execute("after = result.outcome; print(after)")
    buttons.press(buttons.hold, lambda: "held: somebody asked for it" in shown(front))
    front.until(lambda: buttons.word(buttons.hold) == "Go on")
    buttons.press(buttons.hold, lambda: buttons.word(buttons.hold) == "Hold")
    assert "held: somebody" not in shown(front)
    buttons.press(buttons.rollback, lambda: "and remove it?" in shown(front))
    buttons.click(buttons.rollback)  # a double click, or a front end that is late
    buttons.press(buttons.no, lambda: not buttons.disabled(buttons.rollback))
    buttons.press(buttons.promote, lambda: buttons.word(buttons.yes) == "Yes, promote")
    buttons.press(buttons.no, lambda: not buttons.disabled(buttons.rollback))
    before = len(front.changes)
    front.until(lambda: len(front.changes) > before + 3)
    assert not front.over, "nothing was confirmed"
    buttons.press(buttons.rollback, lambda: buttons.word(buttons.yes) == "Yes, roll back")
    buttons.press(buttons.yes, lambda: front.over)
    assert not [content for kind, content in front.outputs if kind == "error"]
    left = [content["data"] for kind, content in front.outputs if kind == "update_display_data"]
    assert set(left[-1]) == {"text/plain", "text/html", "image/png"}
    assert "iris: s3://models/iris/2 rolled back" in left[-1]["text/html"]
    assert "asked: resume" in left[-1]["text/html"], "what was said stays"
    assert 'alt="A canary over ' in left[-1]["text/html"]
    reply = client.get_shell_msg(timeout=60)
    while reply["parent_header"]["msg_id"] != following:
        reply = client.get_shell_msg(timeout=60)
    assert reply["content"]["status"] == "ok", "the cell that was sent meanwhile runs after it"


@pytest.mark.timeout(180)
def test_seen_view_shows_weight_requests_intervals_evidence_and_prints_nothing(
    kernel: Kernel, tmp_path: Path
) -> None:
    front = Front(kernel[1], cell(tmp_path, ", count=100, before=40"))
    front.until(lambda: front.named("ButtonModel"))
    front.seen()
    words = (
        "weight",
        "of the canary",
        "at most 1 %",
        "requests to go",
        "promote from 2.0 on",
        "roll back from 2.6 on",
    )
    front.until(lambda: all(word in shown(front) for word in words))
    charts = next(
        str(front.widgets[comm]["value"])
        for comm in front.named("HTMLModel")
        if "<svg" in str(front.widgets[comm]["value"])
    )
    assert "M44.0 " in charts, "what another process saw is drawn, too: the weight from the first second on"
    front.until(lambda: front.over)
    assert not [content for kind, content in front.outputs if kind in ("stream", "error")]


@pytest.mark.timeout(180)
def test_interrupted_cell_says_what_is_left(kernel: Kernel, tmp_path: Path) -> None:
    manager, client = kernel
    front = Front(client, cell(tmp_path))
    front.until(lambda: "of the canary" in shown(front))
    manager.interrupt_kernel()
    front.until(lambda: front.over)
    assert [content["ename"] for kind, content in front.outputs if kind == "error"] == ["KeyboardInterrupt"]
    left = [content["data"] for kind, content in front.outputs if kind == "update_display_data"][-1]
    assert "interrupted: the canary of iris keeps weight 20 % and nobody watches it" in left["text/html"]
    assert "image/png" in left


@pytest.mark.timeout(180)
def test_without_a_front_end_there_are_lines_and_a_picture(tmp_path: Path) -> None:
    code = cell(tmp_path, ", count=12, pause=0.5")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    file = tmp_path / "done.ipynb"
    nbformat.write(book, file)
    outputs = nbformat.read(file, as_version=4).cells[0].outputs
    assert {item.output_type for item in outputs} <= {"stream", "display_data"}
    (output,) = [item for item in outputs if "data" in item]
    assert set(output.data) == {"text/plain", "text/html", "image/png"}
    assert output.data["text/plain"].startswith("iris: s3://models/iris/2 inconclusive")
    text = "".join(item.text for item in outputs if item.output_type == "stream")
    assert text.count("iris: ") == 1 + 12, "what nobody saw is printed: the weight, and a line a block"


def test_without_a_kernel_there_are_lines() -> None:
    from mlk8s.errors import UsageError
    from mlk8s.operations.live import choose_canary
    from mlk8s.operations.rollout_view import Lines

    view, say = choose_canary(None, "iris", print, lambda: "", tuple)
    assert isinstance(view, Lines) and say is print
    with pytest.raises(UsageError, match="a live view needs a notebook"):
        choose_canary(True, "iris", print, lambda: "", tuple)
