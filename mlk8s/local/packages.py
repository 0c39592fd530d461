"""The Debian packages that the native cluster runs on: which are missing, what for, and their installation.

A package is missing if its program is: what came another way (Docker's own containerd) is as good. Nothing is
ever removed for them, nothing recommended comes along, and containerd's system service is neither started nor
left enabled: the cluster runs a containerd of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlk8s.local.progress import Progress, Step


@dataclass(frozen=True)
class Package:
    """A Debian package, the file or program that shows it is there, and what it is for."""

    name: str
    probe: str
    purpose: str


PACKAGES = (
    Package("containerd", "containerd", "runs the containers"),
    Package("runc", "runc", "starts each of them"),
    Package("containernetworking-plugins", "/usr/lib/cni/ptp", "gives pods their network"),
    Package("iptables", "iptables", "host ports of pods"),
    Package("nftables", "nft", "services and network policies"),
    Package("conntrack", "conntrack", "lets kube-proxy forget old connections"),
    Package("iproute2", "ip", "makes the cluster's network namespace"),
    Package("catatonit", "catatonit", "the process that holds a pod together"),
    Package("mmdebstrap", "mmdebstrap", "makes the base of the Python images"),
)

_LOCK_SECONDS = 300
_LISTS_ARE_OLD = re.compile(
    r"Unable to locate package|has no installation candidate|Unable to fetch|Failed to fetch"
)
_LISTS_ARE_LOCKED = re.compile(r"Could not get lock|Unable to lock directory")
_NEW = re.compile(r"(\d+) newly installed")


def missing() -> list[Package]:
    """The packages whose programs this machine does not have."""
    # Root's PATH may lack the folders of system programs when it comes from a user's shell.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    return [package for package in PACKAGES if not shutil.which(package.probe, path=path)]


def describe(packages: Sequence[Package]) -> str:
    """One line a package: its name and what it is for."""
    width = max((len(package.name) for package in packages), default=0)
    return "\n".join(f"  {package.name:{width}}  {package.purpose}" for package in packages)


def ask_on_terminal(question: str) -> bool:
    """Ask a yes-or-no question on the terminal; no terminal, or no answer, is a no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def ensure(
    *, progress: Progress, yes: bool = False, ask: Callable[[str], bool] = ask_on_terminal
) -> list[Package]:
    """Install what is missing, after saying what it is and asking.

    Args:
        progress: where the installation is shown.
        yes: do not ask.
        ask: asks a question and says whether the answer was yes.

    Returns:
        What was installed, usually nothing.

    Raises:
        LocalClusterError: refused, not root, no apt-get, or apt-get failed.
    """
    wanted = missing()
    if not wanted:
        return []
    command = f"apt-get install --no-install-recommends {' '.join(package.name for package in wanted)}"
    if not shutil.which("apt-get"):
        raise LocalClusterError(
            "Programs are missing that the local cluster runs on, and there is no apt-get to install them.",
            where=", ".join(package.probe for package in wanted),
            expected="Debian or Ubuntu, or these programs from your distribution",
            next_step="Install them, or use a cluster elsewhere: mlk8s up --driver kind",
        )
    if os.geteuid() != 0:
        raise LocalClusterError(
            "Debian packages are missing, and only root can install them:\n" + describe(wanted),
            next_step=f"sudo {command}",
        )
    if not yes:
        with progress.paused():
            agreed = ask(f"The local cluster needs Debian packages:\n{describe(wanted)}\nInstall them? [y/N]")
        if not agreed:
            raise LocalClusterError(
                "Debian packages are missing, and nobody said yes to installing them:\n" + describe(wanted),
                next_step=f"{command}\n            or: mlk8s up --yes",
            )
    else:
        progress.message(f"Installing Debian packages:\n{describe(wanted)}")
    _install([package.name for package in wanted], progress)
    still = missing()
    if still:
        raise LocalClusterError(
            "apt-get was content, but programs are still missing.",
            where=", ".join(package.probe for package in still),
            next_step=f"Look at what it installed: {command}",
        )
    return wanted


def service_commands(
    names: Sequence[str], *, systemd: bool
) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]]:
    """What to run before and after installing `names` so that no service is left running or enabled.

    Masking lasts until the next boot at most, should the second half be cut off; a service that was there
    before is not in `names` and stays as it is.
    """
    if not systemd or "containerd" not in names:
        return [], []
    unit = "containerd.service"
    return (
        [["systemctl", "--quiet", "--runtime", "mask", unit]],
        [["systemctl", "--quiet", "--runtime", "unmask", unit], ["systemctl", "--quiet", "disable", unit]],
    )


def _install(names: Sequence[str], progress: Progress) -> None:
    before, after = service_commands(names, systemd=Path("/run/systemd/system").is_dir())
    for command in before:
        subprocess.run(command, check=False, capture_output=True)
    try:
        with progress.step("Install Debian packages", unit="steps") as step:
            lines = _apt_get(["install", *names], step)
            if lines is not None and _LISTS_ARE_OLD.search("\n".join(lines)):
                step.update(detail="apt-get update")
                _check(_apt_get(["update"], step))
                lines = _apt_get(["install", *names], step)
            _check(lines)
    finally:
        for command in after:
            subprocess.run(command, check=False, capture_output=True)


def _check(lines: list[str] | None) -> None:
    """Raise for the output of a failed apt-get."""
    if lines is None:
        return
    errors = [line for line in lines if line.startswith("E:")]
    raise LocalClusterError(
        f"apt-get failed: {errors[-1] if errors else (lines or ['it said nothing'])[-1]}",
        expected="a reachable Debian mirror, free disk, and no other package manager at work",
        next_step="See what it says: apt-get update && apt-get --fix-broken install",
    )


def _apt_get(arguments: Sequence[str], step: Step) -> list[str] | None:
    """Run apt-get, waiting while another one works; None if it succeeded, else what it wrote."""
    command = ["apt-get", "-q", "-y", "--no-install-recommends", "--no-remove"]
    command += ["-o", "Dpkg::Use-Pty=0", "-o", f"DPkg::Lock::Timeout={_LOCK_SECONDS}", *arguments]
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        process = subprocess.Popen(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        lines = list(_shown(process.stdout, step))
        if process.wait() == 0:
            return None
        # The lock's time-out above is for installing; the package lists' lock is refused at once.
        if not _LISTS_ARE_LOCKED.search("\n".join(lines)) or time.monotonic() > end:
            return lines
        step.update(detail="waiting for another package manager")
        time.sleep(2)


def _shown(output: Iterator[str], step: Step) -> Iterator[str]:
    """Pass apt-get's lines on, and count its steps: each package is unpacked and set up."""
    for line in output:
        if match := _NEW.search(line):
            step.update(done=0, total=2 * int(match.group(1)))
        if line.startswith(("Unpacking ", "Setting up ")):
            step.advance(1, detail=line.split(" (")[0].strip())
        yield line.rstrip("\n")
