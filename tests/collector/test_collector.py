"""The log collector on real files: every line once, through rotation, removal, restart and crash."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlk8s.collector.config import CollectorConfig
from mlk8s.collector.ship import Shipper
from mlk8s.errors import UsageError
from mlk8s.storage.log_lines import LogLine, search, utc_nanoseconds
from mlk8s.storage.store import Store

LATE = datetime(2030, 1, 1, tzinfo=UTC)


class Node:
    """A kubelet's log directory with one container, and the storage beside it."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root / "pods", root / "out"
        self.directory = self.root / "team_iris-0_0f0f0f0f-1111-2222-3333-444444444444" / "main"
        self.directory.mkdir(parents=True)
        self.out.mkdir()
        self.log = self.directory / "0.log"
        self.second = 0
        self.shippers: list[Shipper] = []

    def write(self, text: str, tag: str = "F", stream: str = "stdout", time: str | None = None) -> None:
        self.second += 1
        moment = time or f"2026-11-24T00:00:{self.second:02d}.5Z"
        with self.log.open("a") as file:
            file.write(f"{moment} {stream} {tag} {text}\n")

    def shipper(self, chunk: int = 1 << 20) -> Shipper:
        config = CollectorConfig(output=str(self.out), node="n", root=self.root, flush=1e-9, chunk=chunk)
        self.shippers.append(Shipper(config, Store(self.out)))
        return self.shippers[-1]

    def found(self, pattern: str = "", **limits: datetime) -> list[LogLine]:
        return list(search(str(self.out), re.compile(pattern), **{"until": LATE, **limits}))  # type: ignore[arg-type]

    def lines(self, pattern: str = "", **limits: datetime) -> list[str]:
        return [item.line for item in self.found(pattern, **limits)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    for shipper in made.shippers:
        shipper.close()


def settle(shipper: Shipper) -> None:
    for now in (1.0, 2.0):  # the first round sees the lines, the second finds that they have waited
        shipper.round(now)


def test_a_line_is_found_with_its_place_and_time(node: Node) -> None:
    node.write("ready to serve")
    node.write("something else", stream="stderr")
    settle(node.shipper())
    (found,) = node.found("ready")
    assert found == (datetime(2026, 11, 24, 0, 0, 1, 500000, UTC), "team", "iris-0", "main", "ready to serve")
    assert node.lines() == ["ready to serve", "something else"]


def test_rotation_keeps_every_line_once(node: Node) -> None:
    shipper = node.shipper()
    node.write("one")
    settle(shipper)
    node.write("two")
    rotated = node.log.rename(node.directory / "0.log.20261124-000200")
    node.write("three")
    settle(shipper)
    with gzip.open(node.directory / "0.log.20261124-000200.gz", "wb") as packed:
        packed.write(rotated.read_bytes())
    rotated.unlink()
    settle(shipper)
    settle(node.shipper())
    assert node.lines() == ["one", "two", "three"]


def test_what_was_packed_before_the_collector_came_is_shipped(node: Node) -> None:
    node.write("old")
    with gzip.open(node.directory / "0.log.20261124-000200.gz", "wb") as packed:
        packed.write(node.log.read_bytes())
    node.log.unlink()
    node.write("new")
    settle(node.shipper())
    assert node.lines() == ["old", "new"]


def test_a_file_that_is_removed_while_it_is_followed_is_shipped_to_its_end(node: Node) -> None:
    shipper = node.shipper()
    node.write("one")
    shipper.round(1.0)
    node.write("last words")
    node.log.unlink()
    shipper.round(2.0)
    assert node.lines() == ["one", "last words"]
    shipper.round(3.0)
    assert json.loads((node.out / "state" / "n.json").read_text()) == {}


def test_a_restart_goes_on_and_a_lost_checkpoint_tells_no_line_twice(node: Node) -> None:
    for number in range(10):
        node.write(f"line {number}")
    first = node.shipper(chunk=200)
    settle(first)
    node.write("line 10")
    settle(node.shipper())
    wanted = [f"line {number}" for number in range(11)]
    assert node.lines() == wanted
    objects = len(list(node.out.rglob("*.gz")))
    (node.out / "state" / "n.json").unlink()
    settle(node.shipper(chunk=310))
    assert len(list(node.out.rglob("*.gz"))) > objects, "shipped again, with other borders"
    assert node.lines() == wanted


def test_a_crash_before_the_checkpoint_writes_the_same_object_again(node: Node) -> None:
    node.write("one")
    settle(node.shipper())
    state = (node.out / "state" / "n.json").read_bytes()
    node.write("two")
    settle(node.shipper())
    (node.out / "state" / "n.json").write_bytes(state)
    node.write("three")
    before = set(node.out.rglob("*.gz"))
    settle(node.shipper())
    assert set(node.out.rglob("*.gz")) == before
    assert node.lines() == ["one", "two", "three"]


def test_parts_become_one_line_and_wait_for_their_end(node: Node) -> None:
    shipper = node.shipper()
    node.write("a", tag="P")
    node.write("error", stream="stderr")
    node.write("b", tag="P")
    settle(shipper)
    assert node.lines() == []
    node.write("c")
    settle(shipper)
    assert node.lines() == ["abc", "error"]


def test_what_looks_like_a_secret_is_not_stored(node: Node) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"  # put together: this file has no form of a secret itself
    node.write(f"uses {key[:8]}", tag="P")
    node.write(f"{key[8:]} now")
    settle(node.shipper())
    assert node.lines() == ["uses [redacted] now"]


def test_bytes_that_are_no_text_and_lines_that_are_no_log_are_kept(node: Node) -> None:
    node.write("fine \u2028 line\r")
    with node.log.open("ab") as file:
        file.write(b"2026-11-24T00:00:09Z stdout F caf\xe9\nnot a log line\n")
    settle(node.shipper())
    assert node.lines() == ["fine \u2028 line\r", "caf\\xe9", "not a log line"]


def test_a_file_in_another_form_is_shipped_as_it_is(node: Node) -> None:
    node.log.write_text("first words\nsecond words\n")
    settle(node.shipper())
    assert node.lines() == ["first words", "second words"]


def test_an_object_holds_lines_of_one_day_and_times_limit_the_search(node: Node) -> None:
    node.write("yesterday", time="2026-11-23T23:59:59.9Z")
    node.write("today", time="2026-11-24T01:30:00.1+01:00")
    settle(node.shipper())
    assert {path.name for path in (node.out / "lines").iterdir()} == {"2026-11-23", "2026-11-24"}
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    assert node.lines(since=midnight) == ["today"]
    assert node.lines(until=midnight) == ["yesterday"]


def test_lines_of_several_pods_come_in_order_of_time(node: Node) -> None:
    other = node.root / "team_iris-1_99999999-1111-2222-3333-444444444444" / "main"
    other.mkdir(parents=True)
    mine = node.log
    for number in range(6):
        node.log = other / "0.log" if number % 2 else mine
        node.write(f"line {number}")
    settle(node.shipper(chunk=120))
    assert node.lines() == [f"line {number}" for number in range(6)]


def test_namespaces_can_be_left_out(node: Node) -> None:
    node.write("one")
    config = CollectorConfig(
        output=str(node.out), node="n", root=node.root, flush=1e-9, exclude=frozenset({"team"})
    )
    settle(Shipper(config, Store(node.out)))
    assert node.lines() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T00:00:01.5Z", "2026-11-24T00:00:01.500000000Z"),
        ("2026-11-24T00:00:01+02:00", "2026-11-23T22:00:01.000000000Z"),
        ("2026-11-24 00:00:01", None),
    ],
)
def test_times_are_told_in_utc_with_nine_digits(text: str, expected: str | None) -> None:
    assert utc_nanoseconds(text) == expected


def test_settings_that_are_missing_or_wrong_are_named() -> None:
    with pytest.raises(UsageError, match="COLLECTOR_NODE is not set"):
        CollectorConfig.from_env({"COLLECTOR_OUTPUT": "s3://logs/pods"})
    with pytest.raises(UsageError, match="COLLECTOR_FLUSH is 'soon'"):
        CollectorConfig.from_env(
            {"COLLECTOR_OUTPUT": "s3://logs/pods", "COLLECTOR_NODE": "n", "COLLECTOR_FLUSH": "soon"}
        )
