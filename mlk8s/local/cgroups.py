"""The cluster's own control groups: a parent for kubelet's pods, and one for the cluster's own processes.

Two kubelets under one parent would remove each other's pods. On cgroup v1 a group is a directory in each
hierarchy, on v2 one directory; `system` is a leaf, because v2 forbids processes beside child groups.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from mlk8s.local.shell import system_error

ROOT = Path("/sys/fs/cgroup")
SYSTEM = "system"


def hierarchies() -> list[Path]:
    """Every mounted control group hierarchy: one on v2, one a controller on v1."""
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            mounts.append(Path(left.split()[4]))
    return sorted(set(mounts))


def create(name: str) -> list[Path]:
    """Make NAME and NAME/system in every hierarchy.

    Returns:
        The `cgroup.procs` files that put a process into NAME/system.

    Raises:
        LocalClusterError: the machine does not let root make control groups.
    """
    files = []
    for hierarchy in hierarchies():
        for group in (hierarchy / name, hierarchy / name / SYSTEM):
            try:
                group.mkdir(exist_ok=True)
                _inherit_cpuset(group)
                _delegate(group.parent)
            except OSError as error:
                raise system_error(error, f"make the control group {group}") from error
        files.append(hierarchy / name / SYSTEM / "cgroup.procs")
    return files


def _inherit_cpuset(group: Path) -> None:
    # v1: a cpuset group has no processors until it is told which, and takes no process before that.
    for file in ("cpuset.cpus", "cpuset.mems"):
        target = group / file
        if (
            target.exists()
            and (group / "cpuset.sched_load_balance").exists()
            and not target.read_text().strip()
        ):
            target.write_text((group.parent / file).read_text())


def _delegate(parent: Path) -> None:
    # v2: children have the controllers that their parent hands down.
    controllers = parent / "cgroup.controllers"
    if controllers.exists():
        for controller in controllers.read_text().split():
            with suppress(OSError):  # a controller that cannot be delegated here is not one kubelet needs
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def remove(name: str, timeout: float = 10) -> list[Path]:
    """Remove NAME and everything below it from every hierarchy.

    Returns:
        The groups that could not be removed within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = [group for hierarchy in hierarchies() for group in _remove_tree(hierarchy / name)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _remove_tree(top: Path) -> list[Path]:
    left = []
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            Path(directory).rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # busy: the last process is still being reaped
            left.append(Path(directory))
    return left
