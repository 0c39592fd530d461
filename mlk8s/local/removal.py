"""Remove a local cluster and every trace of it on the machine."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from mlk8s.errors import LocalClusterError
from mlk8s.local import cgroups, machine, network, registry
from mlk8s.local.namespaces import Namespaces
from mlk8s.local.progress import SILENT, Progress
from mlk8s.local.registry import Cluster
from mlk8s.local.shell import system_error


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
    machine.check()
    with (
        registry.cluster_lock(
            name, lambda: progress.message(f"another command works on '{name}': waiting")
        ) as lock,
        progress.step(f"Remove the cluster '{name}'"),
    ):
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
    if directory.exists():
        shutil.rmtree(directory)
    if cluster is not None:
        others = [other for other in registry.clusters().values() if other.name != name]
        network.disconnect(cluster)
        machine.restore(others)
        registry.release(name)
