"""Look up what the rules of `assess.why` ask for, several lists at once, until they have an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import orjson

from mlk8s.assess.doctor_facts import Unknown
from mlk8s.assess.observed import Object
from mlk8s.assess.why.diagnose import FIRST, NAMED, SHORT, Absent, diagnose, everything
from mlk8s.assess.why.facts import Diagnosis, Facts, Wanted
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.prometheus import Prometheus
from mlk8s.errors import ClusterError, Forbidden, NotFound, Unreachable, UsageError
from mlk8s.operations.waiting import ServerClock

_THREADS = 8
_LINES = 10  # log lines that are evidence
_PATIENCE = 2.0  # seconds for one answer of a metrics API or of Prometheus
T = TypeVar("T")


def why(cluster: Cluster, platform: Platform, wanted: str, namespace: str | None = None) -> Diagnosis:
    """Say why one object does not do what it is there for.

    Args:
        wanted: 'KIND/NAME' in kubectl's words, or a name alone: workloads are looked at first, then the
            Service, Ingress, autoscaler and claim of that name.

    Raises:
        UsageError: an unknown kind.
        NotFound: there is no such object; names what is there.
        Forbidden: it may not be read.
        Unreachable: the API server does not answer.
    """
    start = time.monotonic()
    kind, name = parse(wanted)
    looking = Looking(cluster, platform, namespace or cluster.namespace)
    looking.look_up("Namespace", *(FIRST.get(kind, (kind,)) if kind else (*NAMED, "Event")))
    try:
        found = looking.until_answered(lambda facts: diagnose(kind, name, facts))
    except Absent as absent:
        unseen = looking.found.get(kind) if kind else None
        if isinstance(unseen, Unknown):
            raise Forbidden(unseen.reason, where=f"{wanted} in namespace {looking.namespace!r}") from None
        raise NotFound(
            f"there is no {f'{kind} {name!r}' if kind else f'object named {name!r}'}",
            where=f"namespace {looking.namespace!r} of context {cluster.context!r}",
            expected=f"one of: {', '.join(absent.near)}" if absent.near else None,
            next_step="`mlk8s why .` looks at everything in the namespace",
        ) from None
    return found.took(time.monotonic() - start)


def why_all(cluster: Cluster, platform: Platform, namespace: str | None = None) -> list[Diagnosis]:
    """Look at everything in a namespace; an object that several others depend on is told once.

    Raises:
        Unreachable: the API server does not answer.
    """
    looking = Looking(cluster, platform, namespace or cluster.namespace)
    looking.look_up("Namespace", *NAMED, "Event", "IngressClass", "EndpointSlice", "NetworkPolicy")
    return looking.until_answered(everything)


def parse(wanted: str) -> tuple[str | None, str]:
    """Return (kind, name) of 'KIND/NAME'; the kind is None where only a name is given.

    Raises:
        UsageError: no name, or a kind that nothing is known about.
    """
    word, slash, name = wanted.rpartition("/")
    kind = SHORT.get(word.lower().partition(".")[0])
    if not name or (slash and kind is None):
        raise UsageError(
            f"{wanted!r} names no object that `why` knows",
            expected="a name, or KIND/NAME with one of: "
            + ", ".join(sorted({k.lower() for k in SHORT.values()})),
        )
    return kind, name


class Looking:
    """Facts of one namespace, gathered on demand."""

    def __init__(self, cluster: Cluster, platform: Platform, namespace: str) -> None:
        self._cluster, self._platform, self.namespace = cluster, platform, namespace
        self._clock = ServerClock(cluster, namespace)
        self.found: dict[str, Sequence[Object] | Unknown] = {}

    def facts(self) -> Facts:
        """Return what is known now."""
        platform = self._platform
        return Facts(
            namespace=self.namespace,
            now=self._clock.now(),
            found=self.found,
            ingress_namespace=platform.ingress_namespace,
            prometheus=platform.prometheus is not None,
            prometheus_service=platform.prometheus,
        )

    def until_answered(self, rule: Callable[[Facts], T]) -> T:
        """Run a rule, look up what it asks for, run it again, until it has an answer."""
        while True:
            try:
                return rule(self.facts())
            except Wanted as wanted:
                self.look_up(*wanted.keys)

    def look_up(self, *keys: str) -> None:
        """Look up several keys at once."""
        with ThreadPoolExecutor(_THREADS) as pool:
            clock = pool.submit(self._clock.now)
            for key, found in zip(keys, pool.map(self._look, keys), strict=True):
                self.found[key] = found
            clock.result()

    def _look(self, key: str) -> Sequence[Object] | Unknown:
        try:
            return self._read(key)
        except Unreachable:
            raise
        except ClusterError as error:
            return Unknown(error.what.splitlines()[0])

    def _read(self, key: str) -> Sequence[Object]:
        cluster = self._cluster
        scheme, colon, rest = key.partition(":")
        if colon and scheme == "log":
            pod, container, run = rest.split("/")
            text = cluster.logs(
                pod, self.namespace, container=container, tail=_LINES, previous=run == "previous"
            )
            return [{"line": line} for line in text.splitlines()]
        if colon and scheme == "promql":
            prometheus = Prometheus(cluster, self._platform.prometheus or "")
            return [{"labels": s.labels, "value": s.value} for s in prometheus.query(rest, timeout=_PATIENCE)]
        if colon and scheme == "get":
            return [orjson.loads(cluster.raw("GET", rest, timeout=_PATIENCE))]
        if colon and scheme == "one":
            kind, _, name = rest.partition("/")
            found = cluster.find(kind, name, self.namespace)
            return [found] if found is not None else []
        if key == "Namespace":
            return self._namespaces()
        if key == "Event":
            return cluster.events(self.namespace)
        where, slash, kind = key.rpartition("/")
        return cluster.list(kind, where if slash else self.namespace, all_namespaces=where == "*")

    def _namespaces(self) -> Sequence[Object]:
        """Return every namespace, or only ours where we may not list them."""
        try:
            return self._cluster.list("Namespace")
        except Forbidden:
            return [self._cluster.get("Namespace", self.namespace)]
