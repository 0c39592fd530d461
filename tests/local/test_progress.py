"""Progress: what a log shows, and when."""

from __future__ import annotations

import io

import pytest

from mlk8s.local.progress import BYTES, SILENT, open_progress
from mlk8s.local.progress_plain import PlainProgress, amount_text, duration_text, seconds_left


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def plain(log: io.StringIO, clock: Clock) -> PlainProgress:
    return PlainProgress(log, interval=5, clock=clock)


def test_a_short_step_leaves_one_line(plain: PlainProgress, log: io.StringIO, clock: Clock) -> None:
    with plain.step("Start etcd"):
        clock.now += 0.4
    assert log.getvalue() == "Start etcd: done in 0.4 s\n"


def test_a_long_step_says_what_remains(plain: PlainProgress, log: io.StringIO, clock: Clock) -> None:
    with plain.step("Build etcd", total=400, unit="packages") as step:
        for _ in range(4):
            clock.now += 2
            step.advance(25, detail="raft")
        clock.now += 2
    assert log.getvalue().splitlines() == [
        "Build etcd: 75 of 400 packages, about 26 s left, raft",
        "Build etcd: done in 10 s",
    ]


def test_a_step_that_is_full_waits_for_its_end(plain: PlainProgress, log: io.StringIO, clock: Clock) -> None:
    with plain.step("Build etcd", total=2) as step:
        clock.now += 60
        step.update(done=2)
    assert log.getvalue().splitlines() == ["Build etcd: done in 1 min 0 s"]


def test_a_failed_step_says_so_and_lets_the_error_pass(
    plain: PlainProgress, log: io.StringIO, clock: Clock
) -> None:
    with pytest.raises(KeyboardInterrupt), plain.step("Build etcd"):
        clock.now += 3
        raise KeyboardInterrupt
    assert log.getvalue() == "Build etcd: failed after 3.0 s\n"


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (3_100_000, 12_000_000, BYTES, "3.1 of 12.0 MB"),
        (17, 412, "packages", "17 of 412 packages"),
        (17, None, "modules", "17 modules"),
        (1, 2, "", "1 of 2"),
    ],
)
def test_amounts(done: float, total: float | None, unit: str, text: str) -> None:
    assert amount_text(done, total, unit) == text


def test_time_left_is_not_guessed_without_grounds() -> None:
    assert seconds_left(0, 10, 60) is None
    assert seconds_left(1, 10, 0.5) is None
    assert seconds_left(1, None, 60) is None
    assert seconds_left(5, 10, 60) == 60


@pytest.mark.parametrize(("seconds", "text"), [(0.44, "0.4 s"), (59.4, "59 s"), (185, "3 min 5 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_pipe_gets_plain_lines(log: io.StringIO) -> None:
    with open_progress(log) as progress:
        progress.message("ready")
    assert log.getvalue() == "ready\n"


def test_a_terminal_gets_bars_and_keeps_one_line_a_step() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with open_progress(terminal) as progress:
        with progress.step("Build [etcd]", total=2, unit="packages") as step:
            step.advance(1, detail="raft")
        with progress.paused():
            terminal.write("question?")
        with pytest.raises(ValueError, match="no"), progress.step("Start"):
            raise ValueError("no")
    shown = terminal.getvalue()
    assert "✓" in shown
    assert "Build [etcd]" in shown
    assert "✗" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor stays hidden"


def test_silent_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with SILENT.step("Build", total=1) as step:
        step.advance()
        step.update(done=1)
    SILENT.message("text")
    with SILENT.paused():
        pass
    assert capsys.readouterr() == ("", "")
