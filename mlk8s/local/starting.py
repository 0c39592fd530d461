"""Bring the bare cluster up: node Ready, nothing installed on it.

Everything is declared anew and what does not run is started, so the same call makes a cluster, repairs one
after a kill or a reboot, and changes its port.
"""

from __future__ import annotations

import datetime
import shutil
import time
from typing import TYPE_CHECKING

from mlk8s.errors import LocalClusterError
from mlk8s.local import cgroups, components, machine, network, node, objects, pki, registry
from mlk8s.local.agent.api import Api, ApiError
from mlk8s.local.handle import Local
from mlk8s.local.namespaces import Namespaces, last_words
from mlk8s.local.processes import Component
from mlk8s.local.progress import SILENT, Progress
from mlk8s.local.registry import Cluster
from mlk8s.local.shell import run, system_error

if TYPE_CHECKING:
    from mlk8s.local.images import Image

_ROOM = 80 << 20  # bytes; etcd's log takes 64 MiB at once


def start(
    name: str,
    *,
    programs: components.Programs,
    pause: Image,
    port: int = 8080,
    egress: bool = False,
    gpus: int = 2,
    progress: Progress = SILENT,
) -> Local:
    """Bring the bare cluster up, or repair it: node Ready, nothing installed on it.

    Args:
        name: of the cluster.
        programs: etcd and the Kubernetes programs, by name.
        kubelet. pause: the image that holds a pod's namespaces open. port: of 127.0.0.1, for the Ingress; S3
        gets the next one. egress: give pods a way out of the machine. gpus: simulated GPUs that the node
        advertises.

    Raises:
        LocalClusterError: not root, a port in use, no free network, a full disk, or a part that does not
        start.
    """
    registry.check_name(name)
    machine.check()
    network.check_ports((port, port + 1, port + 2))
    wanted = Cluster(name=name, port=port, egress=egress, gpus=gpus)
    with registry.cluster_lock(
        name, lambda: progress.message(f"another command works on '{name}': waiting")
    ) as lock:
        try:
            cluster = registry.reserve(wanted, network.occupied)
        except LocalClusterError:
            if registry.find(name) is None:
                lock.unlink()  # nothing was made, nothing stays
            raise
        try:
            return _start(cluster, programs, pause, progress)
        except OSError as error:
            raise system_error(error, f"start the cluster '{name}'") from error


def _start(cluster: Cluster, programs: components.Programs, pause: Image, progress: Progress) -> Local:
    layout, local = node.Layout(cluster.directory), Local(cluster)
    namespaces = Namespaces(layout.directory)
    with progress.step("Make certificates and configuration"):
        machine.prepare(cluster)
        machine.restore(registry.clusters().values())  # egress may have been given up
        layout.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        for directory in ("var-log", "var-cni", "log", "kubelet"):
            (layout.directory / directory).mkdir(exist_ok=True)
        pki.ensure(layout.pki, node.identities(cluster))
        node.write_configuration(cluster, layout, pause.reference)
    with progress.step("Make namespaces and network"):
        setup = node.mounts(layout)
        if not namespaces.are_open(setup):
            # What is left of an interrupted start, of pods that died with their holder (kubelet would study
            # each of their control groups for seconds), or of an older mlk8s with other mounts.
            namespaces.close()
            cgroups.remove(cluster.cgroup)
        groups = cgroups.create(cluster.cgroup)
        holder = namespaces.open(setup, groups, cluster.node_name)
        network.connect(cluster, holder, namespaces.inside())

    def launch(*wanted: Component) -> set[str]:
        return {component.name for component in wanted if namespaces.start(component, holder, groups)}

    with progress.step("Start the control plane"):
        launch(*components.control_plane(cluster, layout, programs), components.containerd(layout))
        api = local.api()
        _wait_for_api(api, namespaces)
        launch(*components.controllers(cluster, layout, programs))
    with progress.step("Start the node"):
        _wait_for_containerd(namespaces)
        if pause.reference not in local.images():
            local.load_image(pause.archive)
        objects.install(api, cluster.node_name)
        since = time.time()
        started = launch(*components.workers(cluster, layout, programs))
        _wait_for_node(api, cluster, namespaces, since if "kubelet" in started else 0.0)
    return local


def _died(namespaces: Namespaces, names: tuple[str, ...]) -> None:
    running = namespaces.running()
    for name in names:
        if name in running:
            continue
        log = namespaces.logs / f"{name}.log"
        words, next_step = last_words(log), "run the command again: it starts what is missing"
        free = shutil.disk_usage(namespaces.directory).free
        if free < _ROOM or "no space left" in words.lower():
            words += f"\nno space left on device: {free >> 20} MiB are free at {namespaces.directory}"
            next_step = "free some disk space, then run the command again: it continues"
        raise LocalClusterError(
            f"{name} ended while the cluster was starting:\n{words}", where=str(log), next_step=next_step
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


def _wait_for_node(
    api: Api, cluster: Cluster, namespaces: Namespaces, since: float, timeout: float = 90
) -> None:
    """Wait until kubelet has spoken after `since` (seconds of the clock), is Ready and has the GPUs."""
    deadline, words = time.monotonic() + timeout, "kubelet has not registered the node"
    while time.monotonic() < deadline:
        try:
            words = _not_ready(api, cluster, since)
            if not words:
                return
        except ApiError as error:
            if error.status not in (0, 404):
                raise
        _died(namespaces, ("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler", "agent"))
        time.sleep(0.1)
    raise LocalClusterError(
        f"the node is not Ready after {timeout:g} s: {words}",
        where=str(namespaces.logs / "kubelet.log"),
        next_step="read the log; 'mlk8s up' again continues",
    )


def _not_ready(api: Api, cluster: Cluster, since: float) -> str:
    """Why a first pod could not run yet, empty when it could."""
    name = cluster.node_name
    status = api.get(f"/api/v1/nodes/{name}")["status"]
    ready: dict[str, str] = next(
        (item for item in status.get("conditions", []) if item["type"] == "Ready"), {}
    )
    heartbeat = ready.get("lastHeartbeatTime", "1970-01-01T00:00:00Z")
    if datetime.datetime.fromisoformat(heartbeat).timestamp() < int(since):
        return "kubelet has not reported since it was started"  # what the status says is from before
    if ready.get("status") != "True":
        return str(ready.get("message", "no Ready condition"))
    if int(status.get("allocatable", {}).get("nvidia.com/gpu", "0")) != cluster.gpus:
        return "the simulated GPUs are not advertised"
    api.get("/api/v1/namespaces/default/serviceaccounts/default")
    return ""
