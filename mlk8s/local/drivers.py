"""What makes a local cluster: kind, k3d or minikube where Docker answers, else the native driver.

The three that need Docker are thin: they create or delete a cluster whose node ports are mapped to 127.0.0.1,
and apply the platform with the official images. They follow the tools' documents; the tests, which have no
Docker, did not run them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlk8s.errors import LocalClusterError, UsageError
from mlk8s.local import machine, native, network, registry
from mlk8s.local.handle import Local
from mlk8s.local.progress import SILENT, Progress

NAMES = ("native", "kind", "k3d", "minikube")
_NODE_PORTS = (network.WEB_NODE_PORT, network.S3_NODE_PORT, network.TLS_NODE_PORT)
"""Of the platform; on 127.0.0.1 they are PORT and the two after it."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A cluster that another tool runs."""

    name: str
    driver: str
    context: str
    kubeconfig: Path
    ingress_url: str
    s3_url: str
    ingress_https_url: str


def choose(driver: str = "auto") -> str:
    """Name the driver to use.

    Args:
        driver: one of `NAMES`, or auto: the first of kind, k3d and minikube that is installed while Docker
            answers, else native.

    Raises:
        LocalClusterError: none can be used here; lists what was tried and what to install.
        UsageError: there is no such driver.
    """
    if driver != "auto" and driver not in NAMES:
        raise UsageError(f"there is no driver {driver!r}", expected=f"auto, {', '.join(NAMES)}")
    reasons = {name: why_not(name) for name in ((driver,) if driver != "auto" else _order())}
    for name, reason in reasons.items():
        if reason is None:
            return name
    tried = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise LocalClusterError(
        "no local cluster can be made here"
        if driver == "auto"
        else f"the driver {driver} cannot be used here",
        where=tried,
        expected="Linux with root (native), or Docker with kind, k3d or minikube",
        next_step="run with sudo, or install Docker and kind (https://kind.sigs.k8s.io), or use a cluster "
        "of your own with --context",
    )


def _order() -> tuple[str, ...]:
    return ("kind", "k3d", "minikube", "native")


def why_not(driver: str) -> str | None:
    """Why a driver cannot be used on this machine, None when it can."""
    if driver == "native":
        try:
            if not Path("/proc/self/ns").exists():
                return "not Linux"
            machine.check()
        except LocalClusterError as error:
            return error.what
        return None
    if shutil.which(driver) is None:
        return "not installed"
    if shutil.which("docker") is None:
        return "Docker is not installed"
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Docker does not answer ({error})"
    return None if done.returncode == 0 else "Docker does not answer (docker info)"


def up(
    name: str = "mlk8s",
    *,
    driver: str = "auto",
    port: int = 8080,
    egress: bool = False,
    gpus: int = 2,
    progress: Progress = SILENT,
    yes: bool = False,
    bare: bool = False,
    optional: Sequence[str] = (),
) -> Local | Outside:
    """Bring a cluster up with the chosen driver; see `native.up` for the arguments.

    `bare` makes a Kubernetes without our platform, with the images of ours that manifests name.
    A cluster that exists keeps its driver. `egress` and `gpus` are the native driver's: the others always
    have a way out, and no simulated GPU.

    Raises:
        LocalClusterError: no driver can be used, or it failed.
        UsageError: an unknown driver, or a name that Kubernetes would refuse.
    """
    registry.check_name(name)
    if driver == "auto" and registry.find(name) is not None:
        driver = "native"
    chosen = choose(driver)
    if chosen == "native":
        return native.up(
            name,
            port=port,
            egress=egress,
            gpus=gpus,
            progress=progress,
            yes=yes,
            bare=bare,
            optional=optional,
        )
    made = _up_outside(chosen, name, port, progress)
    if bare:
        _load_images(made, progress)
    else:
        _install_platform(made, progress, optional)
    return made


def down(name: str = "mlk8s", *, purge: bool = False, progress: Progress = SILENT) -> bool:
    """Remove a cluster with the driver that made it.

    Returns:
        Whether there was one of this name.
    """
    note = registry.state_root() / name / "driver"
    if not note.exists():
        return native.down(name, purge=purge, progress=progress)
    driver = note.read_text().strip()
    with progress.step(f"Remove the {driver} cluster '{name}'"):
        _tool(_delete_command(driver, name))
        shutil.rmtree(note.parent)
    return True


def create_command(driver: str, name: str, port: int) -> list[str]:
    """The command that makes a cluster with its ports on 127.0.0.1; kind reads `kind_config` on stdin."""
    if driver == "kind":
        return ["kind", "create", "cluster", "--name", name, "--config", "-", "--wait", "120s"]
    if driver == "k3d":
        disable = ["--k3s-arg", "--disable=traefik@server:0"]
        ports = [
            f"127.0.0.1:{outside}:{inside}@server:0" for outside, inside in enumerate(_NODE_PORTS, start=port)
        ]
        mapped = [word for item in ports for word in ("--port", item)]
        return ["k3d", "cluster", "create", name, *mapped, *disable, "--wait"]
    pairs = ",".join(
        f"127.0.0.1:{outside}:{inside}" for outside, inside in enumerate(_NODE_PORTS, start=port)
    )
    return ["minikube", "start", "--profile", name, "--driver=docker", f"--ports={pairs}"]


def kind_config(port: int) -> str:
    """kind's configuration: one node, its node ports mapped to 127.0.0.1."""
    mappings = "".join(
        f'      - {{containerPort: {inside}, hostPort: {outside}, listenAddress: "127.0.0.1"}}\n'
        for outside, inside in enumerate(_NODE_PORTS, start=port)
    )
    return (
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n"
        f"  - role: control-plane\n    extraPortMappings:\n{mappings}"
    )


def _delete_command(driver: str, name: str) -> list[str]:
    if driver == "minikube":
        return ["minikube", "delete", "--profile", name]
    return (
        ["kind", "delete", "cluster", "--name", name]
        if driver == "kind"
        else ["k3d", "cluster", "delete", name]
    )


def load_command(driver: str, name: str, archive: Path) -> list[str]:
    """The command that puts a docker-archive into the cluster's image store."""
    if driver == "kind":
        return ["kind", "load", "image-archive", str(archive), "--name", name]
    if driver == "k3d":
        return ["k3d", "image", "import", str(archive), "--cluster", name]
    return ["minikube", "image", "load", str(archive), "--profile", name]


def load_image(driver: str, name: str, archive: Path) -> None:
    """Put a docker-archive into a cluster that another tool runs.

    Raises:
        LocalClusterError: the tool refuses.
    """
    _tool(load_command(driver, name, archive), kubeconfig=registry.state_root() / name / "kubeconfig")


def _up_outside(driver: str, name: str, port: int, progress: Progress) -> Outside:
    directory = registry.state_root() / name
    made = Outside(
        name=name,
        driver=driver,
        context={"kind": f"kind-{name}", "k3d": f"k3d-{name}", "minikube": name}[driver],
        kubeconfig=directory / "kubeconfig",
        ingress_url=f"http://127.0.0.1:{port}",
        s3_url=f"http://127.0.0.1:{port + 1}",
        ingress_https_url=f"https://127.0.0.1:{port + 2}",
    )
    if not made.kubeconfig.exists():
        network.check_ports((port, port + 1, port + 2))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "driver").write_text(f"{driver}\n")
        with progress.step(f"Make the {driver} cluster '{name}'"):
            text = kind_config(port) if driver == "kind" else None
            _tool(create_command(driver, name, port), kubeconfig=made.kubeconfig, stdin=text)
    return made


def _load_images(made: Outside, progress: Progress) -> None:
    from mlk8s.local.bare import archives

    for archive in archives():
        with progress.step(f"Load the image {archive.stem}"):
            load_image(made.driver, made.name, archive)


def _install_platform(made: Outside, progress: Progress, optional: Sequence[str]) -> None:
    from mlk8s.clients.cluster import Cluster
    from mlk8s.clients.platform import NAMESPACE, Platform
    from mlk8s.local import images, parts, platform_apply
    from mlk8s.local import optional as optional_parts
    from mlk8s.local.platform_manifests import PARTS

    references = {}
    for image in map(images.build, images.PYTHON_IMAGES):
        with progress.step(f"Load {image.reference}"):
            load_image(made.driver, made.name, image.archive)
        references[image.reference.split("/")[-1].split(":")[0]] = image.reference
    cluster = Cluster.connect(kubeconfig=made.kubeconfig, context=made.context)
    platform_apply.apply_base(cluster, progress)
    platform_apply.storage_keys(cluster)
    for part in PARTS:
        if part != "coredns":  # these clusters have theirs
            platform_apply.apply_part(cluster, part, images={}, dns_address=None, progress=progress)
    offer = Platform(
        installed=True,
        ingress_url=made.ingress_url,
        ingress_https_url=made.ingress_https_url,
        ingress_class="nginx",
        gateway=f"{NAMESPACE}/traefik",
        s3_endpoint=f"http://seaweedfs.{NAMESPACE}.svc:8333",
        s3_endpoint_outside=made.s3_url,
        prometheus=f"{NAMESPACE}/prometheus:9090",
        server_image=references["server"],
        pipeline_image=references["pipeline"],
        ingress_service=f"{NAMESPACE}/traefik",
        ingress_namespace=NAMESPACE,
        prometheus_namespace=NAMESPACE,
    )
    platform_apply.apply_description(cluster, offer, progress)
    for name in optional:
        (definitions,) = parts.ensure([f"{name}-crds"], progress=progress).values()
        optional_parts.apply(cluster, name, definitions, {}, progress)


def _tool(command: Sequence[str], *, kubeconfig: Path | None = None, stdin: str | None = None) -> None:
    environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment, timeout=900, check=False
    )
    if done.returncode != 0:
        raise LocalClusterError(
            f"'{' '.join(command[:3])}' failed: {(done.stderr or done.stdout).strip()[-800:]}",
            next_step="see what the tool says, then run the command again",
        )
