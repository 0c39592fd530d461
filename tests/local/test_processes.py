"""What runs is what the kernel shows; a component's digest follows its command and files; logs say why."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from mlk8s.local.namespaces import last_words
from mlk8s.local.processes import CLUSTER_VARIABLE, COMPONENT_VARIABLE, DIGEST_VARIABLE, Component, processes


def test_a_process_is_found_by_its_environment_and_gone_when_it_ends(tmp_path: Path) -> None:
    variables = {CLUSTER_VARIABLE: str(tmp_path), COMPONENT_VARIABLE: "etcd", DIGEST_VARIABLE: "abc"}
    child = subprocess.Popen(["sleep", "30"], env={**os.environ, **variables})
    try:
        deadline = time.monotonic() + 5
        while not (found := processes(tmp_path)) or found[0].program != "sleep":
            assert time.monotonic() < deadline
        (process,) = found
        assert (process.pid, process.component, process.digest) == (child.pid, "etcd", "abc")
        assert process.alive()
        assert process.rss() > 0
        assert 0 <= process.uptime() < 10
        assert processes(tmp_path / "other") == []
        child.send_signal(signal.SIGKILL)
        while process.alive():  # a zombie until we wait for it
            assert time.monotonic() < deadline
        assert processes(tmp_path) == []
    finally:
        child.kill()
        child.wait()
    assert (process.rss(), process.uptime()) == (0, 0.0)


def test_a_process_is_found_while_it_replaces_its_program(tmp_path: Path) -> None:
    script = tmp_path / "again"
    script.write_text('#!/bin/sh\nexec "$0"\n')  # all it does is to become itself
    script.chmod(0o755)
    child = subprocess.Popen([str(script)], env={**os.environ, CLUSTER_VARIABLE: str(tmp_path)})
    try:
        missed = sum([process.pid for process in processes(tmp_path)] != [child.pid] for _ in range(500))
    finally:
        child.kill()
        child.wait()
    assert missed == 0


def test_a_digest_follows_command_environment_and_content(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("one")
    component = Component(name="x", command=("/x", "-a"), files=(file,))
    first = component.digest()
    assert component.digest() == first
    file.write_text("two")
    assert component.digest() != first
    file.write_text("one")
    assert component.digest() == first
    assert Component(name="x", command=("/x", "-b"), files=(file,)).digest() != first
    other = Component(name="x", command=("/x", "-a"), files=(file,), environment={"GOGC": "50"})
    assert other.digest() != first


def test_last_words_are_errors_not_stacks(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(
        "starting\n"
        '{"level":"fatal","msg":"failed to create WAL","error":"no space left on device"}\n'
        "goroutine 1 [running]:\n"
        "go.uber.org/zap.(*Logger).Panic(0x2cde5ad2a800?, {0x12a4384?, 0x5d?})\n"
        "\tgo.uber.org/zap@v1.27.0/logger.go:284 +0x51 error\n"
    )
    assert (
        last_words(log) == '{"level":"fatal","msg":"failed to create WAL","error":"no space left on device"}'
    )
    log.write_text("a\nb\n")
    assert last_words(log) == "a\nb"
    assert last_words(tmp_path / "none") == ""
