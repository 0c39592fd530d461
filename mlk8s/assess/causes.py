"""Why a pod does not become ready: the first cause that is certain, in Kubernetes' own words.

A state that may heal by itself (a pod that waits for another to end, a registry that did not answer once) is
a suspicion until its grace period is over. A wait that runs out of time reports its suspicion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from mlk8s.assess.cause import Cause, LogSource, first
from mlk8s.assess.observed import Object, containers, events_of
from mlk8s.assess.why.containers import config, crash, hanging
from mlk8s.assess.why.images import pull
from mlk8s.assess.why.node_side import node_events, rejected
from mlk8s.assess.why.probes import killed_by_probe, never_ready
from mlk8s.assess.why.scheduling import TERMINATING_GRACE, unscheduled

__all__ = ["TERMINATING_GRACE", "Cause", "LogSource", "first", "pod_cause"]


def pod_cause(pod: Object, events: Sequence[Object], now: datetime, *, crowded: bool = False) -> Cause | None:
    """Return why a pod is not ready; None where nothing speaks against it.

    Args:
        pod: the pod.
        events: events of its namespace.
        now: the clock reading.
        crowded: whether pods are ending right now whose place it may get.
    """
    return first(_causes(pod, events_of(pod, events), now, crowded))


def _causes(pod: Object, events: Sequence[Object], now: datetime, crowded: bool) -> Iterator[Cause]:
    yield from unscheduled(pod, events, now, crowded)
    for container in containers(pod):
        yield from pull(pod, container, events, now)
        yield from config(pod, container, now)
        yield from killed_by_probe(pod, container, events, now)
        yield from crash(pod, container, events)
        yield from hanging(pod, container, now)
    yield from rejected(pod)
    yield from node_events(pod, events, now)
    yield from never_ready(pod, events, now)
