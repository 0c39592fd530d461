"""What a Job that waits in a queue needs of the cluster: Kueue, and a LocalQueue of that name."""

from __future__ import annotations

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Forbidden, NotFound

_GROUP = "kueue.x-k8s.io"
_VERSIONS = ("v1beta2", "v1beta1")


def require_queue(cluster: Cluster, namespace: str, queue: str | None) -> None:
    """Check that a Job with `queue` would be let go by somebody, before anything is written.

    A Job with Kueue's label is suspended: without Kueue it would wait for ever.

    Raises:
        NotFound: the cluster has no Kueue, or the namespace no such LocalQueue; lists those it has.
    """
    if queue is None:
        return
    kind = next(
        (
            f"{_GROUP}/{item}/LocalQueue"
            for item in _VERSIONS
            if cluster.serves(f"{_GROUP}/{item}/LocalQueue")
        ),
        None,
    )
    if kind is None:
        raise NotFound(
            f"queue {queue!r} is given, and the cluster has no Kueue",
            where=f"context {cluster.context!r}",
            expected="the kinds of kueue.x-k8s.io; without them the Job would stay suspended for ever",
            next_step="leave queue away, or have Kueue installed: https://kueue.sigs.k8s.io/docs/installation/",
        )
    try:
        names = [item["metadata"]["name"] for item in cluster.list(kind, namespace)]
    except Forbidden:
        return  # who may not look finds out when the Job waits
    if queue not in names:
        raise NotFound(
            f"there is no queue {queue!r}",
            where=f"LocalQueues of namespace {namespace!r}",
            expected=f"one of: {', '.join(names)}" if names else "a LocalQueue; there is none",
            next_step="ask who runs the cluster for a LocalQueue in this namespace",
        )
