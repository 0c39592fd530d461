"""Requests of both versions by blocks of time, asked of Prometheus: two queries a block.

The second is of requests that no server could count, because its pod ended or did not answer: those that the
ingress controller answered itself, where it is Traefik.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlk8s.assess.evidence import Block, Cursor, Series, read_block
from mlk8s.assess.evidence.scrapes import UNANSWERED, Version
from mlk8s.clients.prometheus import Prometheus, Samples
from mlk8s.errors import Mlk8sError
from mlk8s.render.common import Identity
from mlk8s.series import REQUESTS

_COUNT = f"{REQUESTS}_count"
_STARTED = "process_start_time_seconds"
_ROUTE = "/infer"
"""How the route of a prediction ends: looking at metadata is no request that a version is judged by."""
_THEIRS = "traefik_service_requests_total"
_SERVICE = "traefik_service"
_UNANSWERED = ("502", "504")
"""Statuses that no model server sends: its pod ended, did not take the request, or took too long."""
_CANARY = r"-canary(-\d+)?@"


class Counts:
    """Reads blocks of one service.

    Args:
        prometheus: what is asked.
        edges: by percentile of the SLO, the histogram's edge in seconds at which a request is slow.
        block: length of a block in seconds.
        pods: names of the Deployments of the new and of the old version; the canary's and the service's own
            by default.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        name: str,
        namespace: str,
        edges: Mapping[str, float],
        block: float,
        *,
        pods: tuple[str, str] | None = None,
    ) -> None:
        self._prometheus, self._edges = prometheus, edges
        self.selector = selector(name, namespace, edges, block)
        new, old = pods or (Identity(name, "canary").instance, name)
        self._canary = re.compile(re.escape(new) + "-[a-z0-9]+-[a-z0-9]+")
        self._stable = re.compile(re.escape(old) + "-[a-z0-9]+-[a-z0-9]+")
        self.ingress = ingress_selector(name, namespace, block)
        self.switched = False
        """Whether the new version has the service's own way in, as after a switch of colours."""
        self.cursor: Cursor | None = None

    def baseline(self, at: float) -> None:
        """Read how far the counters are now; nothing of it counts.

        Raises:
            ClusterError: Prometheus does not answer.
        """
        self.cursor = None
        self._read(at, 0.0, 0)

    def block(self, start: float, seconds: float, weight: int) -> tuple[Block, str | None]:
        """Return one block, missing where Prometheus did not answer, and then why it did not."""
        try:
            return self._read(start, seconds, weight), None
        except Mlk8sError as error:
            note = f"Prometheus did not answer: {error.what}"
            return Block(start, seconds, weight, missing=True, notes=(note,), cause=note), error.what

    def _read(self, start: float, seconds: float, weight: int) -> Block:
        found, theirs = self._prometheus.samples(self.selector), self._prometheus.samples(self.ingress)
        first = self.cursor is None
        self.cursor, block = read_block(
            self.cursor, [*series(found), *unanswered(theirs)], start=start, seconds=seconds, weight=weight,
            version_of=self.version_of, edges=self._edges, started=started(found),
        )  # fmt: skip
        return replace(block, missing=False, cause="") if first else block

    def version_of(self, labels: Mapping[str, str]) -> Version | None:
        """Tell by its pod's name whose a series is, or by the name of the controller's service."""
        seen = labels.get(_SERVICE)
        if seen is not None:
            newer = bool(re.search(_CANARY, seen)) != self.switched
            return "canary" if newer else "stable"
        pod = labels.get("pod", "")
        if self._canary.fullmatch(pod):
            return "canary"
        return "stable" if self._stable.fullmatch(pod) else None


def selector(name: str, namespace: str, edges: Mapping[str, float], block: float) -> str:
    """Return the range selector that one block is read by: counts, the SLO's buckets, and whether pods were
    scraped at all."""
    numbers = [f"{edge:g}".replace(".", "[.]") for edge in sorted(set(edges.values()))]
    bounds = "".join(f"|{number}([.]0)?" for number in numbers)  # 1 is written as 1.0, too
    window = max(30, round(3 * block))
    return (
        f'{{__name__=~"{REQUESTS}_bucket|{_COUNT}|{_STARTED}|up",namespace="{namespace}",'
        f'pod=~"{name}(-canary|-green)?-[a-z0-9]+-[a-z0-9]+",le=~"{bounds}",'
        f'route=~"|.*{_ROUTE}"}}[{window}s]'
    )


def ingress_selector(name: str, namespace: str, block: float) -> str:
    """Return the range selector of what Traefik answered for both versions, by Ingress or HTTPRoute."""
    service = f"{namespace}-{name}"
    ways = f"{service}-{name}-http(-canary)?@.+|httproute-{service}-gw-.+-svc-{service}(-canary)?-[0-9]+@.+"
    return f'{_THEIRS}{{service=~"{ways}"}}[{max(30, round(3 * block))}s]'


def unanswered(found: Sequence[Samples]) -> list[Series]:
    """Return what the ingress controller had to answer itself; the rest only shows that it was scraped."""
    return [
        Series(
            {
                "__name__": UNANSWERED if one.labels.get("code") in _UNANSWERED else "ingress_answered",
                _SERVICE: one.labels.get("service", ""),
                "pod": one.labels.get("pod", ""),
                "code": one.labels.get("code", ""),
                "method": one.labels.get("method", ""),
            },
            one.points,
        )
        for one in found
        if one.points
    ]


def series(found: Sequence[Samples]) -> list[Series]:
    """Return the request series, and for each pod that was scraped one that stays at zero.

    A pod that has answered nothing has no counter; that it was scraped tells 'no request' from 'not seen'.
    """
    taken = []
    for one in found:
        name = one.labels.get("__name__", "")
        if name.startswith(REQUESTS):
            taken.append(Series(one.labels, one.points))
        elif name == "up":
            labels = {"__name__": _COUNT, "pod": one.labels.get("pod", ""), "route": "none", "code": "200"}
            taken.append(Series(labels, [(at, 0.0) for at, value in one.points if value == 1]))
    return [one for one in taken if one.points]


def started(found: Sequence[Samples]) -> dict[str, float]:
    """Return the second since the epoch at which each pod's process started."""
    return {
        one.labels.get("pod", ""): one.points[-1][1]
        for one in found
        if one.labels.get("__name__") == _STARTED and one.points
    }
