"""What is looked at before pods are replaced: a paused rollout, and room for the pods that come on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlk8s.assess.observed import condition
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Conflict
from mlk8s.operations.doctor_nodes import gpu_facts
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]


def refuse_paused(deployment: Mapping[str, Any], *, wait: bool, say: Say) -> None:
    """Refuse to wait for pods that a paused rollout will not start; without waiting, only say it.

    Raises:
        Conflict: names since when it is paused.
    """
    if not deployment["spec"].get("paused"):
        return
    metadata = deployment["metadata"]
    name = metadata["name"]
    since = condition(deployment, "Progressing")
    told = f" since {since['lastUpdateTime']}" if since.get("reason") == "DeploymentPaused" else ""
    if not wait:
        say(f"{name}: its rollout is paused{told}: no pod changes before `mlk8s rollout resume {name}`")
        return
    raise Conflict(
        f"the rollout of {name} is paused{told}: a change would start no pod",
        where=f"Deployment {metadata.get('namespace')}/{name}",
        expected="a rollout that goes on; nothing was written",
        next_step=f"`mlk8s rollout resume {name}` first, or --no-wait to change it all the same",
    )


def warn_surge(cluster: Cluster, spec: ModelService, say: Say) -> None:
    """Say when a rolling update needs GPUs for pods on top and the cluster has none to spare.

    It is no refusal: a GPU may become free meanwhile. Who may not read nodes is told nothing.
    """
    if spec.gpu is None or spec.strategy != "RollingUpdate" or spec.max_surge in (0, "0%"):
        return
    resource, count = spec.gpu.resource, spec.gpu.count
    try:
        found = next((item for item in gpu_facts(cluster) if item.resource == resource), None)
    except ClusterError:
        return
    if found is None or found.allocated is None or found.allocatable - found.allocated >= count:
        return
    say(
        f"{spec.name}: no spare GPU for the surge pod: {found.allocated} of {found.allocatable} {resource} "
        f"are in use, and it needs {count}; max_surge=0 with max_unavailable=1, or 'Recreate', go without"
    )
