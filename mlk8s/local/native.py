"""The native driver: a real one-node Kubernetes on this machine, in namespaces of its own.

local = native.up("mlk8s", progress=progress)    # makes, repairs or changes; the platform is installed on it
local.load_image(archive)
native.status("mlk8s")
native.down("mlk8s")
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from mlk8s.local import images, machine, network, packages, parts, registry
from mlk8s.local.cache import cache_dir
from mlk8s.local.handle import Local
from mlk8s.local.progress import SILENT, Progress
from mlk8s.local.removal import down as _down
from mlk8s.local.starting import start
from mlk8s.local.status import Status, status

__all__ = ["Local", "Status", "down", "status", "up"]


def up(
    name: str = "mlk8s",
    *,
    port: int = 8080,
    egress: bool = False,
    gpus: int = 2,
    progress: Progress = SILENT,
    yes: bool = False,
    with_platform: bool = True,
    bare: bool = False,
    optional: Iterable[str] = (),
) -> Local:
    """Bring a cluster up, or repair it, or change it; the second of two at once waits for the first.

    Args:
        name: of the cluster, a DNS label of at most 40 characters.
        port: of 127.0.0.1, for the Ingress; S3 gets the next one, HTTPS the one after it.
        egress: give pods a way out of the machine.
        gpus: simulated GPUs that the node advertises.
        progress: where steps are shown.
        yes: install missing Debian packages without a question.
        with_platform: install Traefik, Prometheus, the metrics adapter, CoreDNS and SeaweedFS too.
        bare: install of the platform cluster DNS alone, and have the images in the node that manifests name.
        optional: parts of `mlk8s.local.optional` to install on that platform; those that are there stay.

    Raises:
        LocalClusterError: not root, a port in use, no free network, a full disk, a part that cannot be had or
            does not start.
        UsageError: a name that Kubernetes would refuse.
    """
    machine.check()
    registry.check_name(name)
    network.check_ports((port, port + 1, port + 2))  # before minutes of downloads and builds
    packages.ensure(progress=progress, yes=yes)
    programs = parts.ensure(parts.CORE, progress=progress)
    local = start(
        name,
        programs=programs,
        pause=images.build("pause"),
        port=port,
        egress=egress,
        gpus=gpus,
        progress=progress,
    )
    if bare:
        from mlk8s.local import bare as without_platform  # loads the Kubernetes client, too

        without_platform.prepare(local, progress)
        parts.forget_sources()
    elif with_platform:
        from mlk8s.local import optional as parts_asked_for  # loads the Kubernetes client, nothing else does
        from mlk8s.local import platform

        platform.install(local, progress)
        parts_asked_for.install(local, optional, progress)
        parts.ensure(parts.LATER, progress=progress)  # promtool, which no pod needs
        parts.forget_sources()
    return local


def down(name: str = "mlk8s", *, purge: bool = False, progress: Progress = SILENT) -> bool:
    """Remove a cluster, its data and every trace of it on the machine.

    Args:
        purge: remove the cache of downloaded and built parts and images too.

    Returns:
        Whether there was a cluster of this name.

    Raises:
        LocalClusterError: not root, or something of it cannot be removed.
    """
    found = _down(name, progress=progress)
    if purge:
        shutil.rmtree(cache_dir(), ignore_errors=True)
    return found
