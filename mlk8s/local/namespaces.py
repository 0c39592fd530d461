"""The namespaces of one cluster: a holder that owns them, and the components inside.

The holder is `catatonit -P` as process 1 of a PID namespace: when it ends, for whatever reason, the kernel
ends every process and every mount of the cluster with it, pods included.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlk8s.errors import LocalClusterError
from mlk8s.local.processes import (
    CLUSTER_VARIABLE,
    COMPONENT_VARIABLE,
    DIGEST_VARIABLE,
    HOLDER,
    Component,
    Process,
    namespace_pids,
    processes,
)
from mlk8s.local.shell import PATH, program, system_error

# Lines of a Go stack trace: a function with its arguments, a file, a goroutine.
_STACK = re.compile(r"\s|goroutine |[\w./*()\[\]]+\(.*\)$|created by ")
_TELLING = re.compile(r"(?i)fatal|panic|error|failed|no space|refused|denied")


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
            if _is_holder(process):
                return process.pid
        return None

    def are_open(self, setup: str) -> bool:
        """Whether a holder runs that was started with this `setup`."""
        return any(
            _is_holder(found) and found.digest == _digest(setup) for found in processes(self.directory)
        )

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
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{HOLDER}.log"
        join = "".join(f"echo 0 > {file}; " for file in cgroup_files)
        unshare = [program("unshare"), "--mount", "--pid", "--net", "--uts", "--ipc", "--fork"]
        unshare += ["--kill-child=KILL", "--mount-proc", "sh", "-e", "-c"]
        inside = f"hostname {hostname}; {setup}; exec {program('catatonit')} -P"
        # through setsid --fork: the machine's init adopts it, so no zombie stays with a long-lived caller
        command = [program("setsid"), "--fork", "sh", "-e", "-c", join + 'exec "$@"', "sh", *unshare, inside]
        self._spawn(command, log, self._environment(HOLDER, _digest(setup)))
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
        found: dict[str, Process] = {}
        for process in processes(self.directory):
            # helpers that a component started (containerd's shims) carry its variables, but are another
            # program
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
        # setsid --fork: the component becomes a child of the holder, which reaps it, and nothing waits
        # outside; nsenter ends when setsid has forked, so the component exists when this returns
        join = "".join(f"echo 0 > {file}; " for file in cgroup_files)
        script = f'{join} exec setsid --fork "$@"'
        self._spawn([*enter(holder), "sh", "-e", "-c", script, "sh", *component.command], log, environment)
        return True

    def stop(self, name: str, timeout: float = 5) -> None:
        """End a component: ask, and insist after `timeout` seconds.

        The API server would drain for up to a minute; what it holds is in etcd.
        """
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
            with log.open("ab") as output:
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
            raise LocalClusterError(
                f"could not start '{command[0]}': {tail(log, 3)}", where=str(log)
            ) from error


def _digest(setup: str) -> str:
    return hashlib.sha256(setup.encode()).hexdigest()[:16]


def _is_holder(process: Process) -> bool:
    return process.component == HOLDER and process.program.endswith("catatonit")


def enter(holder: int) -> list[str]:
    """The command prefix that runs a program in the namespaces of process `holder`."""
    return [program("nsenter"), "--target", str(holder), "--mount", "--pid", "--net", "--uts", "--ipc", "--"]


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def last_words(log: Path) -> str:
    """Why a program ended, as far as its log tells: the last errors, else the last lines; no stack traces."""
    lines = tail(log, 200).splitlines()
    said = [line for line in lines if _TELLING.search(line) and not _STACK.match(line)]
    return "\n".join(line[:500] for line in (said[-2:] or lines[-4:]))


def _rotate(log: Path) -> None:
    """Keep the log of the run before; a log then tells of one run only."""
    with suppress(FileNotFoundError):
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
