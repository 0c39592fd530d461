"""What a machine looks like from outside a cluster: for tests that say nothing of it was left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mlk8s.local import machine, registry

OTHERS_LINKS = {"far-t", "far-p"}
"""Of tests that may run beside, in another process: see `world` in test_local_node.py."""
OTHERS_DISKS = "/pytest-of-"
"""Begins the place of their disks."""


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def facts(name: str) -> dict[str, object]:
    """Everything of the machine that `up NAME` may change, but for the cache and for what other clusters own.

    Processes are those that name the cluster in their environment or arguments: other programs may come and
    go while a test runs.
    """
    others = [cluster for cluster in registry.clusters().values() if cluster.name != name]
    foreign = {cluster.link for cluster in others} | {cluster.table for cluster in others}
    foreign |= OTHERS_LINKS | {
        f"{network.network_address}" for cluster in others for network in cluster.networks
    }
    foreign |= {cluster.machine_address for cluster in others}
    foreign |= {str(network.broadcast_address) for cluster in others for network in cluster.networks}

    def ours(lines: Iterable[str]) -> list[str]:
        return sorted(line for line in lines if not foreign & set(re.split(r"[\s/]+", line)))

    links = json.loads(_run("ip", "-json", "link"))
    mounts = [line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    groups = [
        str(Path(folder, child))
        for folder, children, _ in os.walk("/sys/fs/cgroup")
        for child in children
        if child.startswith("mlk8s-")
    ]
    tables = ours(_run("nft", "list", "tables").splitlines())
    addresses = _run("ip", "-o", "-4", "address").splitlines()
    return {
        "links": ours(f"{item['ifname']} {item.get('address')}" for item in links),
        "addresses": ours(line.split(": ")[1] for line in addresses),
        "routes": ours(_run("ip", "-4", "route", "show", "table", "all").splitlines()),
        "rules": _run("ip", "rule"),
        "network namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "tables": {table: _run("nft", "list", *table.split()) for table in tables},
        "mounts": sorted(line for line in mounts if OTHERS_DISKS not in line),
        "processes": sorted(_processes(name)),
        "cgroups": ours(groups),
        "ip_forward": _forwards(),
        "/var/lib": [path.exists() or bool(others) for path in machine.MOUNT_POINTS],
        "state": sorted(path.name for path in registry.state_root().glob(f"{name}*")),
    }


def _forwards() -> str:
    """Whether the kernel forwards packets; as it was, where a cluster with `egress` has noted that."""
    try:
        return (registry.state_root() / "ip_forward.before").read_text()
    except FileNotFoundError:
        return machine.IP_FORWARD.read_text()


def _processes(name: str) -> list[str]:
    found = []
    mark = f"/{name}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (path / "environ").read_bytes(), (path / "cmdline").read_bytes()
        except OSError:
            continue
        if mark + b"\0" in environment or mark + b"/" in command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace")[:80])
    return found
