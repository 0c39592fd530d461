"""The processes of one cluster as the machine's kernel shows them.

There are no pid files: what runs is what the
kernel shows, recognised by two variables in a process's environment, so nothing can be stale.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

CLUSTER_VARIABLE = "MLK8S_LOCAL_CLUSTER"
COMPONENT_VARIABLE = "MLK8S_LOCAL_COMPONENT"
DIGEST_VARIABLE = "MLK8S_LOCAL_DIGEST"
HOLDER = "holder"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A program that runs as long as the cluster.

    Args:
        name: also its log's name.
        command: absolute program and arguments.
        files: configuration and certificates; a change of their content means a restart.
        environment: variables beside PATH.
    """

    name: str
    command: tuple[str, ...]
    files: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """What it would run with now: command, variables, content of its files."""
        state = hashlib.sha256(repr((self.command, sorted(self.environment.items()))).encode())
        for file in self.files:
            state.update(file.read_bytes())
        return state.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Process:
    """A running process as the machine sees it."""

    pid: int
    component: str
    digest: str
    program: str

    def rss(self) -> int:
        """Resident memory in bytes, 0 once it has ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    def uptime(self) -> float:
        """Seconds since it started, 0 once it has ended."""
        try:
            started = int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[19]) / _TICKS
        except (OSError, IndexError):
            return 0.0
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)

    def alive(self) -> bool:
        """Whether it has not ended (a zombie has)."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
        except (OSError, IndexError):
            return False


def processes(directory: Path) -> list[Process]:
    """Every process of the cluster whose state is in `directory`, pods' own processes excepted."""
    mark = f"{CLUSTER_VARIABLE}={directory}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            environment = _environment(Path(entry.path)).split(b"\0")
            if mark not in environment:
                continue
            command = Path(entry.path, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile
        variables = dict(item.decode(errors="replace").partition("=")[::2] for item in environment)
        process = Process(
            pid=int(entry.name),
            component=variables.get(COMPONENT_VARIABLE, ""),
            digest=variables.get(DIGEST_VARIABLE, ""),
            program=command[0].decode(errors="replace"),
        )
        if process.alive():
            found.append(process)
    return found


def _environment(process: Path, timeout: float = 5) -> bytes:
    # While execve replaces a process's memory, the kernel shows it without environment and arguments: for as
    # long as a cold disk takes to bring the new program's first pages. Such a process has not ended.
    deadline, without = time.monotonic() + timeout, 0
    while not (environment := (process / "environ").read_bytes()):
        (process / "exe").readlink()  # raises for a kernel's thread and for what has ended
        start, end = (process / "stat").read_text().rpartition(")")[2].split()[47:49]
        without += start == end != "0"
        if without > 2 or time.monotonic() > deadline:
            break  # it has no environment, or takes too long
        time.sleep(0.001)
    return environment


def namespace_pids(pid: int) -> list[int]:
    """Every process in the PID namespace of `pid`, pods included, as the machine numbers them."""
    try:
        wanted = Path(f"/proc/{pid}/ns/pid").stat().st_ino
    except OSError:
        return []
    pids = []
    for entry in os.scandir("/proc"):
        with suppress(OSError):
            if entry.name.isdigit() and _within(int(entry.name), wanted):
                pids.append(int(entry.name))
    return pids


def _within(pid: int, namespace: int) -> bool:
    # A pod has a PID namespace of its own below the cluster's: climb by parents until the cluster's is met.
    while pid > 1:
        if Path(f"/proc/{pid}/ns/pid").stat().st_ino == namespace:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False
