"""The native driver: a real one-node Kubernetes on this machine, in namespaces of its own.

`up` declares everything anew and starts what does not run, so the same call makes a cluster, repairs one after a
kill or a reboot, and changes its port. `down` removes all of it.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlk8s.errors import LocalClusterError
from mlk8s.local import cgroups, network, node, objects, pki, registry
from mlk8s.local.agent.api import Api, ApiError
from mlk8s.local.processes import Component, Namespaces, tail
from mlk8s.local.progress import SILENT, Progress
from mlk8s.local.registry import Cluster
from mlk8s.local.shell import run, system_error

CNI_CACHE = Path("/var/lib/cni")
"""The CNI library's fixed place; inside the node it is the cluster's own directory."""


@dataclass(frozen=True)
class Local:
    """A local cluster that is up."""

    cluster: Cluster

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def context(self) -> str:
        return f"mlk8s-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        return node.Layout(self.cluster.directory).kubeconfig

    @property
    def ingress_url(self) -> str:
        return f"http://127.0.0.1:{self.cluster.ports[0]}"

    @property
    def s3_url(self) -> str:
        return f"http://127.0.0.1:{self.cluster.ports[1]}"

    def api(self) -> Api:
        """The API as the cluster's administrator."""
        return Api(self.cluster.api_url, node.Layout(self.cluster.directory).pki, "admin")

    def images(self) -> set[str]:
        """References of the images in the node's store."""
        done = run([*Namespaces(self.cluster.directory).inside(), *_CTR, "images", "list", "--quiet"])
        return set(done.stdout.split())

    def load_image(self, archive: Path) -> None:
        """Put a docker-archive into the node's image store.

        Raises:
            LocalClusterError: not running, not an archive, or the disk is full.
        """
        inside = Namespaces(self.cluster.directory).inside()
        run([*inside, *_CTR, "images", "import", str(Path(archive).absolute())], timeout=300)


_CTR = ("ctr", "--namespace", "k8s.io")


def start(
    name: str,
    *,
    binaries: Path,
    pause_archive: Path,
    port: int = 8080,
    egress: bool = False,
    gpus: int = 2,
    progress: Progress = SILENT,
) -> Local:
    """Bring the bare cluster up, or repair it: node Ready, nothing installed on it.

    Args:
        name: of the cluster.
        binaries: folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet.
        pause_archive: docker-archive of `node.PAUSE_IMAGE`.
        port: of 127.0.0.1, for the Ingress; S3 gets the next one.
        egress: give pods a way out of the machine.
        gpus: simulated GPUs that the node advertises.

    Raises:
        LocalClusterError: not root, a port in use, no free network, a full disk, or a part that does not start.
    """
    registry.check_name(name)
    _check_machine()
    network.check_ports((port, port + 1))
    wanted = Cluster(name=name, port=port, egress=egress, gpus=gpus)
    with registry.cluster_lock(name, lambda: progress.message(f"another command works on '{name}': waiting")):
        cluster = registry.reserve(wanted, network.occupied)
        try:
            return _start(cluster, binaries, pause_archive, progress)
        except OSError as error:
            raise system_error(error, f"start the cluster '{name}'") from error


def _start(cluster: Cluster, binaries: Path, pause_archive: Path, progress: Progress) -> Local:
    layout, local = node.Layout(cluster.directory), Local(cluster)
    namespaces = Namespaces(layout.directory)
    with progress.step("Make certificates and configuration"):
        layout.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        for directory in ("var-log", "var-cni", "log", "kubelet"):
            (layout.directory / directory).mkdir(exist_ok=True)
        _make_cni_directory()
        pki.ensure(layout.pki, node.identities(cluster))
        node.write_configuration(cluster, layout)
    with progress.step("Make namespaces and network"):
        groups = cgroups.create(cluster.cgroup)
        holder = namespaces.open(node.mounts(layout), groups, cluster.node_name)
        _forward(cluster)
        network.connect(cluster, holder, namespaces.inside())

    def launch(*components: Component) -> None:
        for component in components:
            namespaces.start(component, holder, groups)

    with progress.step("Start the control plane"):
        launch(*node.control_plane(cluster, layout, binaries), node.containerd(layout))
        api = local.api()
        _wait_for_api(api, namespaces)
        launch(*node.controllers(cluster, layout, binaries))
    with progress.step("Start the node"):
        _wait_for_containerd(namespaces)
        if node.PAUSE_IMAGE not in local.images():
            local.load_image(pause_archive)
        objects.install(api, cluster.node_name)
        launch(*node.workers(cluster, layout, binaries))
        _wait_for_node(api, cluster, namespaces)
    return local


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise LocalClusterError(
            "the native local cluster needs root",
            where=f"user id {os.geteuid()}",
            expected="user id 0: it makes namespaces, mounts and network links of its own",
            next_step="run the command with sudo, or use --driver kind with Docker",
        )
    if not os.path.exists("/proc/self/ns/pid") or not os.path.exists("/proc/self/ns/net"):
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
                f"containerd does not answer after {timeout:g} s: {tail(namespaces.logs / 'containerd.log', 3)}",
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


def down(name: str, *, progress: Progress = SILENT) -> bool:
    """Remove a cluster and every trace of it on the machine; downloaded and built parts stay in the cache.

    Returns:
        Whether there was anything to remove.

    Raises:
        LocalClusterError: not root, or something of it cannot be removed.
    """
    registry.check_name(name)
    cluster = registry.find(name)
    directory = registry.state_root() / name
    if cluster is None and not directory.exists():
        return False
    _check_machine()
    with registry.cluster_lock(name, lambda: progress.message(f"another command works on '{name}': waiting")) as lock:
        with progress.step(f"Remove the cluster '{name}'"):
            try:
                _remove(name, registry.find(name), directory)
                lock.unlink(missing_ok=True)
            except OSError as error:
                raise system_error(error, f"remove the cluster '{name}'") from error
    with suppress(OSError):  # another cluster's state, or a user's own file, is there
        registry.state_root().rmdir()
    return True


def _remove(name: str, cluster: Cluster | None, directory: Path) -> None:
    Namespaces(directory).close()
    left = cgroups.remove(f"mlk8s-{name}")
    if left:
        raise LocalClusterError(f"the control group {left[0]} cannot be removed", expected="no process in it")
    shutil.rmtree(directory, ignore_errors=False)
    if cluster is not None:
        others = [other for other in registry.clusters().values() if other.name != name]
        _restore_forwarding(others)
        network.disconnect(cluster)
        _remove_cni_directory(others)
        registry.release(name)


def _restore_forwarding(others: list[Cluster]) -> None:
    note = registry.state_root() / "ip_forward"
    if note.exists() and not any(other.egress for other in others):
        network.IP_FORWARD.write_text(note.read_text())
        note.unlink()


def _remove_cni_directory(others: list[Cluster]) -> None:
    note = registry.state_root() / "made-var-lib-cni"
    if note.exists() and not others:
        with suppress(OSError):  # somebody else put something there meanwhile
            CNI_CACHE.rmdir()
        note.unlink()
