"""Debian packages: what is missing, what is asked, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlk8s.errors import LocalClusterError
from mlk8s.local import packages
from mlk8s.local.packages import Package
from mlk8s.local.progress import SILENT


@pytest.fixture
def one_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that this machine certainly lacks."""
    present = Package("coreutils", "ls", "lists")
    absent = Package("no-such-package", "no-such-program", "nothing")
    monkeypatch.setattr(packages, "PACKAGES", (present, absent))


def test_only_what_is_not_there_is_missing(one_missing: None) -> None:
    assert [package.name for package in packages.missing()] == ["no-such-package"]


def test_system_programs_are_found_from_a_users_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "PACKAGES", (Package("login", "nologin", "in /usr/sbin"),))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.missing() == []


def test_a_no_installs_nothing_and_says_how(one_missing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []

    def no(question: str) -> bool:
        questions.append(question)
        return False

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LocalClusterError) as raised:
        packages.ensure(progress=SILENT, ask=no)
    assert "no-such-package  nothing" in questions[0]
    assert "apt-get install --no-install-recommends no-such-package" in (raised.value.next_step or "")


def test_without_root_the_command_is_given(one_missing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError) as raised:
        packages.ensure(progress=SILENT, yes=True)
    assert raised.value.next_step == "sudo apt-get install --no-install-recommends no-such-package"


def test_without_apt_get_the_programs_are_named(
    one_missing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalClusterError, match="no apt-get") as raised:
        packages.ensure(progress=SILENT, yes=True)
    assert "no-such-program" in (raised.value.where or "")


def test_nothing_missing_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PACKAGES", (Package("coreutils", "ls", "lists"),))

    def never(question: str) -> bool:
        raise AssertionError(question)

    assert packages.ensure(progress=SILENT, ask=never) == []


def test_no_service_is_left_behind() -> None:
    before, after = packages.service_commands(["containerd", "runc"], systemd=True)
    assert [command[-2:] for command in before] == [["mask", "containerd.service"]]
    assert [command[-2:] for command in after] == [
        ["unmask", "containerd.service"],
        ["disable", "containerd.service"],
    ]


def test_a_service_that_was_there_is_left_alone() -> None:
    assert packages.service_commands(["runc"], systemd=True) == ([], [])
    assert packages.service_commands(["containerd"], systemd=False) == ([], [])
