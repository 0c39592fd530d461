"""Bring the bare cluster up: node Ready, nothing installed on it.

Everything is declared anew and what does not run is started, so the same call makes a cluster, repairs one
after a kill or a reboot, and changes its port.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError
from mlk8s.local import cgroups, components, network, node, objects, pki, registry
from mlk8s.local.agent.api import Api, ApiError
from mlk8s.local.handle import Local
from mlk8s.local.namespaces import Namespaces, tail
from mlk8s.local.processes import Component
from mlk8s.local.progress import SILENT, Progress
from mlk8s.local.registry import Cluster
from mlk8s.local.shell import run, system_error

if TYPE_CHECKING:
    from mlk8s.local.images import Image

CNI_CACHE = Path("/var/lib/cni")
"""The CNI library's fixed place; inside the node it is the cluster's own directory."""


def start(
    name: str,
    *,
    binaries: Path,
    pause: Image,
    port: int = 8080,
    egress: bool = False,
    gpus: int = 2,
    progress: Progress = SILENT,
) -> Local:
    """Bring the bare cluster up, or repair it: node Ready, nothing installed on it.

    Args:
        name: of the cluster.
        binaries: folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy,
        kubelet. pause: the image that holds a pod's namespaces open. port: of 127.0.0.1, for the Ingress; S3
        gets the next one. egress: give pods a way out of the machine. gpus: simulated GPUs that the node
        advertises.

    Raises:
        LocalClusterError: not root, a port in use, no free network, a full disk, or a part that does not
        start.
    """
    registry.check_name(name)
    check_machine()
    network.check_ports((port, port + 1))
    wanted = Cluster(name=name, port=port, egress=egress, gpus=gpus)
    with registry.cluster_lock(name, lambda: progress.message(f"another command works on '{name}': waiting")):
        cluster = registry.reserve(wanted, network.occupied)
        try:
            return _start(cluster, binaries, pause, progress)
        except OSError as error:
            raise system_error(error, f"start the cluster '{name}'") from error


def _start(cluster: Cluster, binaries: Path, pause: Image, progress: Progress) -> Local:
    layout, local = node.Layout(cluster.directory), Local(cluster)
    namespaces = Namespaces(layout.directory)
    with progress.step("Make certificates and configuration"):
        layout.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        for directory in ("var-log", "var-cni", "log", "kubelet"):
            (layout.directory / directory).mkdir(exist_ok=True)
        _make_cni_directory()
        pki.ensure(layout.pki, node.identities(cluster))
        node.write_configuration(cluster, layout, pause.reference)
    with progress.step("Make namespaces and network"):
        groups = cgroups.create(cluster.cgroup)
        holder = namespaces.open(node.mounts(layout), groups, cluster.node_name)
        _forward(cluster)
        network.connect(cluster, holder, namespaces.inside())

    def launch(*components: Component) -> None:
        for component in components:
            namespaces.start(component, holder, groups)

    with progress.step("Start the control plane"):
        launch(*components.control_plane(cluster, layout, binaries), components.containerd(layout))
        api = local.api()
        _wait_for_api(api, namespaces)
        launch(*components.controllers(cluster, layout, binaries))
    with progress.step("Start the node"):
        _wait_for_containerd(namespaces)
        if pause.reference not in local.images():
            local.load_image(pause.archive)
        objects.install(api, cluster.node_name)
        launch(*components.workers(cluster, layout, binaries))
        _wait_for_node(api, cluster, namespaces)
    return local


def check_machine() -> None:
    if os.geteuid() != 0:
        raise LocalClusterError(
            "the native local cluster needs root",
            where=f"user id {os.geteuid()}",
            expected="user id 0: it makes namespaces, mounts and network links of its own",
            next_step="run the command with sudo, or use --driver kind with Docker",
        )
    if not Path("/proc/self/ns/pid").exists() or not Path("/proc/self/ns/net").exists():
        raise LocalClusterError(
            "this kernel has no PID or network namespaces", expected="CONFIG_PID_NS and CONFIG_NET_NS"
        )
    filesystems = Path("/proc/filesystems").read_text()
    if "\toverlay\n" not in filesystems and run(["modprobe", "overlay"], check=False).returncode != 0:
        raise LocalClusterError(
            "this kernel has no overlay file system", where="/proc/filesystems", expected="CONFIG_OVERLAY_FS"
        )


def _make_cni_directory() -> None:
    """Make the mount point that the node's private mount needs; remembered, so that `down` can remove it."""
    if not CNI_CACHE.exists():
        CNI_CACHE.mkdir(parents=True)
        (registry.state_root() / "made-var-lib-cni").touch()


def _forward(cluster: Cluster) -> None:
    """With egress the machine must forward; what it did before is kept for `down`."""
    note = registry.state_root() / "ip_forward"
    if cluster.egress and network.IP_FORWARD.read_text().strip() == "0":
        note.write_text("0\n")
        network.IP_FORWARD.write_text("1\n")


def _died(namespaces: Namespaces, names: tuple[str, ...]) -> None:
    running = namespaces.running()
    for name in names:
        if name not in running:
            log = namespaces.logs / f"{name}.log"
            words = tail(log, 4)
            raise LocalClusterError(
                f"{name} ended while the cluster was starting:\n{words}",
                where=str(log),
                next_step="free some disk space, then run the command again: it continues"
                if "no space left" in words.lower()
                else "run the command again; it starts what is missing",
            )


def _wait_for_api(api: Api, namespaces: Namespaces, timeout: float = 90) -> None:
    deadline, words = time.monotonic() + timeout, ""
    while time.monotonic() < deadline:
        try:
            api.get("/readyz")
            return
        except ApiError as error:
            words = str(error)
        _died(namespaces, ("etcd", "kube-apiserver"))
        time.sleep(0.1)
    raise LocalClusterError(
        f"the API server is not ready after {timeout:g} s: {words}",
        where=str(namespaces.logs / "kube-apiserver.log"),
        next_step="read the log; 'mlk8s up' again continues",
    )


def _wait_for_containerd(namespaces: Namespaces, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    command = [*namespaces.inside(), "ctr", "version"]
    while run(command, check=False).returncode != 0:
        _died(namespaces, ("containerd",))
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"containerd does not answer after {timeout:g} s",
                where=str(namespaces.logs / "containerd.log"),
            )
        time.sleep(0.1)


def _wait_for_node(api: Api, cluster: Cluster, namespaces: Namespaces, timeout: float = 90) -> None:
    """Wait for kubelet's own word of now (its lease), the Ready condition and the advertised GPUs."""
    began, words = time.time(), "kubelet has not registered"
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            found = api.get(f"/api/v1/nodes/{cluster.node_name}")
            conditions = {item["type"]: item for item in found["status"].get("conditions", [])}
            ready = conditions.get("Ready", {})
            words = ready.get("message", words)
            advertised = int(found["status"].get("allocatable", {}).get("nvidia.com/gpu", "0"))
            if ready.get("status") == "True" and advertised == cluster.gpus:
                # the last thing that a first pod needs
                api.get("/api/v1/namespaces/default/serviceaccounts/default")
                return
        except ApiError as error:
            if error.status not in (0, 404):
                raise
        _died(namespaces, ("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler", "agent"))
        time.sleep(0.1)
    raise LocalClusterError(
        f"the node is not Ready after {time.time() - began:.0f} s: {words}",
        where=str(namespaces.logs / "kubelet.log"),
        next_step="read the log; 'mlk8s up' again continues",
    )
