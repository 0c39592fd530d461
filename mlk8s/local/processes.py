"""The processes of one cluster: a holder that owns the namespaces, and the components inside them.

The holder is `catatonit -P` as process 1 of a PID namespace: when it ends, for whatever reason, the kernel ends
every process and every mount of the cluster with it, pods included. There are no pid files: what runs is what the
kernel shows, recognised by two variables in a process's environment, so nothing can be stale.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlk8s.errors import LocalClusterError
from mlk8s.local.shell import PATH, program, system_error

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
            environment = Path(entry.path, "environ").read_bytes().split(b"\0")
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


def namespace_pids(pid: int) -> list[int]:
    """Every process in the PID namespace of `pid`, pods included, as the machine numbers them."""
    try:
        wanted = os.stat(f"/proc/{pid}/ns/pid").st_ino
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
        if os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


class Namespaces:
    """The namespaces of one cluster and what runs in them.

    Args:
        directory: the cluster's state directory, absolute; names the cluster among the machine's processes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "log"

    def holder(self) -> int | None:
        """The holder's process id on the machine, None when there is none."""
        for process in processes(self.directory):
            if process.component == HOLDER and process.program.endswith("catatonit"):
                return process.pid
        return None

    def open(self, setup: str, cgroup_files: Sequence[Path], hostname: str) -> int:
        """Start the holder unless it runs.

        Args:
            setup: shell text that makes the private mounts, run before anything else inside.
            cgroup_files: the cgroup.procs files it and all its children are to be in.
            hostname: of the node.

        Returns:
            The holder's process id on the machine.

        Raises:
            LocalClusterError: namespaces, mounts or groups are refused.
        """
        running = self.holder()
        if running is not None:
            return running
        self.close()  # what is left of a start that was interrupted
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{HOLDER}.log"
        join = "".join(f"echo 0 > {file}; " for file in cgroup_files)
        unshare = [program("unshare"), "--mount", "--pid", "--net", "--uts", "--ipc", "--fork"]
        unshare += ["--kill-child=KILL", "--mount-proc", "sh", "-e", "-c"]
        inside = f"hostname {hostname}; {setup}; exec {program('catatonit')} -P"
        # through setsid --fork: the machine's init adopts it, so no zombie stays with a long-lived caller
        command = [program("setsid"), "--fork", "sh", "-e", "-c", join + 'exec "$@"', "sh", *unshare, inside]
        self._spawn(command, log, self._environment(HOLDER, ""))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            running = self.holder()
            if running is not None:
                return running
            if not processes(self.directory):
                break
            time.sleep(0.01)
        raise LocalClusterError(
            f"the cluster's namespaces could not be made: {tail(log, 3) or 'no message'}",
            where=str(log),
            expected="root with the right to make mount, PID, network, UTS and IPC namespaces",
            next_step="run as root; in a container, one that is privileged",
        )

    def inside(self) -> list[str]:
        """The command prefix that runs a program in the namespaces.

        Raises:
            LocalClusterError: the cluster is not running.
        """
        holder = self.holder()
        if holder is None:
            raise LocalClusterError(
                f"the local cluster '{self.directory.name}' is not running",
                next_step=f"start it: mlk8s up --name {self.directory.name}",
            )
        return enter(holder)

    def running(self) -> dict[str, Process]:
        """The components that run, by name."""
        found = {}
        for process in processes(self.directory):
            # helpers that a component started (containerd's shims) carry its variables, but are another program
            if process.component and Path(process.program).name != "containerd-shim-runc-v2":
                found.setdefault(process.component, process)
        return found

    def start(self, component: Component, holder: int, cgroup_files: Sequence[Path]) -> bool:
        """Start a component unless it runs with the same command and files.

        Returns:
            Whether it was started now.
        """
        digest = component.digest()
        current = self.running().get(component.name)
        if current is not None:
            if current.digest == digest:
                return False
            self.stop(component.name)
        log = self.logs / f"{component.name}.log"
        _rotate(log)
        environment = {**self._environment(component.name, digest), **component.environment}
        # setsid --fork: the component becomes a child of the holder, which reaps it, and nothing waits outside;
        # nsenter ends when setsid has forked, so the component exists when this returns
        join = "".join(f"echo 0 > {file}; " for file in cgroup_files)
        script = f'{join} exec setsid --fork "$@"'
        self._spawn([*enter(holder), "sh", "-e", "-c", script, "sh", *component.command], log, environment)
        return True

    def stop(self, name: str, timeout: float = 75) -> None:
        """End a component: ask, and insist after `timeout` seconds (the API server drains for up to a minute)."""
        process = self.running().get(name)
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
            if not _wait(lambda: not process.alive(), timeout):
                os.kill(process.pid, signal.SIGKILL)
                _wait(lambda: not process.alive(), 10)

    def close(self) -> None:
        """End the holder and with it every process and mount of the cluster.

        Raises:
            LocalClusterError: something is still there after 30 s.
        """
        holder = self.holder()
        pids = set(namespace_pids(holder)) if holder is not None else set()
        for process in processes(self.directory):
            if process.component == HOLDER or holder is None:
                pids.add(process.pid)
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        if not _wait(lambda: not any(_exists(pid) for pid in pids), 30):
            left = sorted(pid for pid in pids if _exists(pid))
            raise LocalClusterError(
                f"processes of the cluster do not end: {', '.join(map(str, left))}",
                next_step="see what holds them (cat /proc/PID/stack), then run the command again",
            )

    def _environment(self, component: str, digest: str) -> dict[str, str]:
        return {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": "/root",
            CLUSTER_VARIABLE: str(self.directory),
            COMPONENT_VARIABLE: component,
            DIGEST_VARIABLE: digest,
        }

    def _spawn(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        try:
            with open(log, "ab") as output:
                subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    cwd="/",
                    start_new_session=True,  # Ctrl-C on the terminal is not for the cluster
                    check=True,
                )
        except OSError as error:
            raise system_error(error, f"start '{command[0]}'") from error
        except subprocess.CalledProcessError as error:
            raise LocalClusterError(f"could not start '{command[0]}': {tail(log, 3)}", where=str(log)) from error


def enter(holder: int) -> list[str]:
    """The command prefix that runs a program in the namespaces of process `holder`."""
    return [program("nsenter"), "--target", str(holder), "--mount", "--pid", "--net", "--uts", "--ipc", "--"]


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _rotate(log: Path, limit: int = 8 << 20) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > limit:
            log.replace(log.with_suffix(".old.log"))


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _wait(done: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
