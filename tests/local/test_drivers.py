"""Which driver is chosen, and what a machine that can have none is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from mlk8s.errors import LocalClusterError, UsageError
from mlk8s.local import drivers, machine


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without any tool, and a user who is not root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


def program(folder: Path, name: str, status: int) -> None:
    (folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
    (folder / name).chmod(0o755)


def test_nothing_usable_lists_what_was_tried(bare: Path) -> None:
    with pytest.raises(LocalClusterError) as caught:
        drivers.choose()
    message = str(caught.value)
    for words in ("kind: not installed", "k3d: not installed", "minikube: not installed", "native: ", "sudo"):
        assert words in message


def test_a_tool_counts_only_where_docker_answers(bare: Path) -> None:
    program(bare, "k3d", 0)
    assert drivers.why_not("k3d") == "Docker is not installed"
    program(bare, "docker", 1)
    assert "does not answer" in str(drivers.why_not("k3d"))
    program(bare, "docker", 0)
    assert drivers.choose() == "k3d"
    program(bare, "kind", 0)
    assert drivers.choose() == "kind"


def test_the_asked_for_driver_is_not_replaced(bare: Path) -> None:
    program(bare, "docker", 0)
    program(bare, "kind", 0)
    with pytest.raises(LocalClusterError, match="the driver minikube cannot be used here"):
        drivers.choose("minikube")
    with pytest.raises(UsageError, match="there is no driver 'vagrant'"):
        drivers.choose("vagrant")


def test_native_needs_root(bare: Path) -> None:
    with pytest.raises(LocalClusterError, match="needs root"):
        machine.check()
    assert drivers.why_not("native") == "the native local cluster needs root"


def test_the_ports_are_mapped_to_loopback_only() -> None:
    (node,) = yaml.safe_load(drivers.kind_config(8080))["nodes"]
    assert node["extraPortMappings"] == [
        {"containerPort": 30080, "hostPort": 8080, "listenAddress": "127.0.0.1"},
        {"containerPort": 30333, "hostPort": 8081, "listenAddress": "127.0.0.1"},
        {"containerPort": 30443, "hostPort": 8082, "listenAddress": "127.0.0.1"},
    ]
    for driver in ("k3d", "minikube"):
        words = " ".join(drivers.create_command(driver, "x", 8080))
        assert "127.0.0.1:8080:30080" in words
        assert "127.0.0.1:8081:30333" in words
        assert "127.0.0.1:8082:30443" in words
