"""Is there room for more pods: quotas of the namespace, and devices of the nodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from mlk8s.assess.why.room import amount, free, requested
from mlk8s.spec.quantity import parse_quantity

Object = Mapping[str, Any]
_SHORT = {
    "cpu": "requests.cpu",
    "memory": "requests.memory",
    "ephemeral-storage": "requests.ephemeral-storage",
}


def needed(pod: Object, replicas: int) -> dict[str, Decimal]:
    """Return what pods of one template count for in a quota, by the quota's names.

    Args:
        pod: the template, with `spec`.
        replicas: how many pods.
    """
    containers = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    names: set[str] = set()
    for container in containers:
        resources = container.get("resources") or {}
        names |= set(resources.get("requests") or ()) | set(resources.get("limits") or ())
    need = {"pods": Decimal(replicas), "count/pods": Decimal(replicas)}
    limits = {"spec": {**pod["spec"], **_limits_as_requests(pod)}}
    for name in sorted(names):
        need[f"requests.{name}"] = requested(pod, name) * replicas
        need[f"limits.{name}"] = requested(limits, name) * replicas
    return need


def over_quota(quotas: Sequence[Object], need: Mapping[str, Decimal]) -> list[str]:
    """Return what the quotas of a namespace leave no room for, a sentence each; scoped ones are left out."""
    found = []
    for quota in quotas:
        if quota.get("spec", {}).get("scopes") or quota.get("spec", {}).get("scopeSelector"):
            continue
        status = quota.get("status") or {}
        for name, most in sorted((status.get("hard") or {}).items()):
            more = need.get(_SHORT.get(name, name), Decimal(0))
            used = parse_quantity(str((status.get("used") or {}).get(name, "0")))
            if more and used + more > parse_quantity(str(most)):
                resource = name.removeprefix("requests.").removeprefix("limits.")
                left = amount(resource, max(Decimal(0), parse_quantity(str(most)) - used))
                found.append(
                    f"the canary needs {amount(resource, more)} of {name}, and ResourceQuota "
                    f"{quota['metadata']['name']} has {left} of {most} left"
                )
    return found


def no_device(nodes: Sequence[Object], pods: Sequence[Object], pod: Object, replicas: int) -> list[str]:
    """Return which devices (extended resources, such as nvidia.com/gpu) no node has free for the pods.

    Args:
        nodes, pods: of the whole cluster.
        pod: the template, with `spec`.
    """
    names: set[str] = set()
    for container in pod["spec"].get("containers") or ():
        names |= {name for name in (container.get("resources") or {}).get("limits") or () if "/" in name}
    open_nodes = [node for node in nodes if not node["spec"].get("unschedulable")]
    found = []
    for name in sorted(names):
        each = requested(pod, name)
        if not each:
            continue
        left = [free(node, pods, name)[0] for node in open_nodes]
        places = sum(int(value // each) for value in left if value > 0)
        if places >= replicas:
            continue
        lacks = amount(name, each * (replicas - places))
        spare = sum((value for value in left if value > 0), Decimal(0))
        word = "GPU" if "gpu" in name.lower() else name
        found.append(
            f"the canary needs {_count(lacks, word)} more, {'none' if not spare else amount(name, spare)} "
            f"{'is' if spare <= 1 else 'are'} free ({name})"
        )
    return found


def _count(number: str, word: str) -> str:
    return f"one {word}" if number == "1" else f"{number} {word}s"


def _limits_as_requests(pod: Object) -> dict[str, Any]:
    def turned(container: Object) -> dict[str, Any]:
        limits = (container.get("resources") or {}).get("limits") or {}
        return {**container, "resources": {"requests": limits}}

    return {
        key: [turned(item) for item in pod["spec"].get(key) or ()] for key in ("containers", "initContainers")
    }
