"""What a local cluster changes on the machine outside its own names: checked before, noted, and put back.

Two things only: mount points below /var/lib, and with `egress` the kernel's ip_forward. How they were is
noted in the state root, and restored when no cluster needs the change any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mlk8s.errors import LocalClusterError
from mlk8s.local.registry import Cluster, state_root
from mlk8s.local.shell import run

MOUNT_POINTS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))
"""Built into the CNI library and kubelet's device manager; inside the node they are the cluster's own."""

IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def check() -> None:
    """Refuse a machine that cannot hold a native cluster.

    Raises:
        LocalClusterError: not root, or a kernel without namespaces or overlayfs.
    """
    if os.geteuid() != 0:
        raise LocalClusterError(
            "the native local cluster needs root",
            where=f"user id {os.geteuid()}",
            expected="user id 0: it makes namespaces, mounts and network links of its own",
            next_step="run the command with sudo, or use --driver kind with Docker",
        )
    missing = [
        name for name in ("pid", "net", "mnt", "uts", "ipc") if not Path(f"/proc/self/ns/{name}").exists()
    ]
    if missing:
        raise LocalClusterError(
            f"this kernel has no {missing[0]} namespaces",
            where="/proc/self/ns",
            expected="CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_UTS_NS and CONFIG_IPC_NS",
            next_step="use --driver kind on another machine, or a cluster of your own with --context",
        )
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        loaded = run(["modprobe", "overlay"], check=False).returncode == 0
        if not loaded:
            raise LocalClusterError(
                "this kernel has no overlay file system",
                where="/proc/filesystems",
                expected="CONFIG_OVERLAY_FS, or the module 'overlay'",
            )


def prepare(cluster: Cluster) -> None:
    """Make what the cluster needs of the machine, and note what was there before."""
    for path in MOUNT_POINTS:
        if not path.exists():
            _made_note(path).touch()
            path.mkdir(parents=True)
    if cluster.egress and IP_FORWARD.read_text().strip() == "0":
        _forward_note().write_text("0\n")
        IP_FORWARD.write_text("1\n")


def restore(remaining: Iterable[Cluster]) -> None:
    """Put back what none of the remaining clusters needs."""
    clusters = list(remaining)
    if _forward_note().exists() and not any(cluster.egress for cluster in clusters):
        IP_FORWARD.write_text(_forward_note().read_text())
        _forward_note().unlink()
    for path in MOUNT_POINTS:
        if _made_note(path).exists() and not clusters:
            with suppress(OSError):  # somebody else put something there meanwhile
                path.rmdir()
            _made_note(path).unlink()


def _forward_note() -> Path:
    return state_root() / "ip_forward.before"


def _made_note(path: Path) -> Path:
    return state_root() / f"{path.name}.made"
