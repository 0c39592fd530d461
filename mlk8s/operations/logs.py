"""The logs of all pods of a service as one, in the order of time."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mlk8s.assess.observed import Container, containers
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.streams import LogStream
from mlk8s.errors import ClusterError, Forbidden, Mlk8sError, NotFound, Rejected, UsageError
from mlk8s.operations.inspect import one_pod, selector
from mlk8s.secrecy import redact
from mlk8s.spec.fields import parse_duration

_LOOK = 1.0  # seconds between two looks for new pods, and before a stream that ended is opened again
_WINDOW = 0.3
"""Seconds that a line waits for earlier ones of other pods, while logs are followed."""
_WAITING = 10_000  # lines that may wait for their reader; the pods' streams wait then


@dataclass(frozen=True, order=True)
class LogLine:
    """One line of one container.

    Attributes:
        time: RFC 3339 in UTC, to the nanosecond.
        text: as the pod wrote it; `str()` shows it without what looks like a secret.
        stamped: whether `str()` shows the time.
    """

    time: str
    pod: str
    container: str
    text: str
    stamped: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        line = f"[{self.pod}/{self.container}] {redact(self.text)}"
        return f"{self.time} {line}" if self.stamped else line


@dataclass(frozen=True)
class _Wish:
    """Which lines are asked for."""

    container: str | None
    since: float | None
    tail: int | None
    previous: bool
    pod: str | None
    stamped: bool


def logs(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    follow: bool = False,
    container: str | None = None,
    since: str | float | None = None,
    tail: int | None = None,
    previous: bool = False,
    pod: str | None = None,
    timestamps: bool = False,
) -> Iterator[LogLine]:
    """Yield the log lines of a service's pods in the order of time, read as they are asked for.

    Args:
        follow: go on with new lines, of pods that come later and of containers that start again, until the
            iterator is closed; lines of different pods within 0.3 s may stand in another order.
        container: one container's lines; None takes all, init containers included.
        since: only lines younger than "5m" or a number of seconds.
        tail: only the last lines of each container.
        previous: the last ended run of each container.
        pod: one pod's lines.

    Raises:
        UsageError: a value out of range, or options that contradict each other.
        NotFound: the service has no pods, or none of that name or with that container.
        Forbidden: logs may not be read.
    """
    wish = _checked(follow, container, since, tail, previous, pod, timestamps)
    there = cluster.list("Pod", namespace, labels=selector(name))
    if not there or pod is not None:
        one_pod(cluster, name, namespace, pod)
    known = sorted({item.name for each in there for item in containers(each)})
    if container is not None and container not in known:
        raise NotFound(
            f"no pod of {name} has a container {container!r}",
            where=f"namespace {namespace!r}",
            expected=f"one of: {', '.join(known)}",
        )
    if follow:
        return _Follower(cluster, name, namespace, wish).lines()
    sources = [_whole(cluster, namespace, name, item.name, wish) for name, item in _started(there, wish)]
    return heapq.merge(*sources)


def _checked(
    follow: bool,
    container: str | None,
    since: str | float | None,
    tail: int | None,
    previous: bool,
    pod: str | None,
    timestamps: bool,
) -> _Wish:
    if follow and previous:
        raise UsageError("follow and previous are both given", expected="one: an ended run has no new lines")
    if tail is not None and tail < 0:
        raise UsageError(f"tail is {tail}", expected="0 or more lines")
    try:
        seconds = None if since is None else parse_duration(since)
    except ValueError as error:
        raise UsageError(f"since is {since!r}", expected=str(error).removeprefix("expected ")) from None
    return _Wish(container, seconds, tail, previous, pod, timestamps)


def _started(pods: list[dict[str, Any]], wish: _Wish) -> list[tuple[str, Container]]:
    """Return the pod's name and the container of everything that has run, in the order of the pods' age."""
    found = []
    for pod in sorted(pods, key=lambda item: str(item["metadata"].get("creationTimestamp"))):
        name = str(pod["metadata"]["name"])
        for item in containers(pod):
            wanted = wish.container in (None, item.name) and wish.pod in (None, name)
            ran = bool(item.running or item.last_end)
            if wanted and (bool(item.restarts) if wish.previous else ran):
                found.append((name, item))
    return found


def _whole(cluster: Cluster, namespace: str, pod: str, container: str, wish: _Wish) -> Iterator[LogLine]:
    try:
        stream = LogStream(
            cluster, pod, namespace, container, previous=wish.previous, since_seconds=_seconds(wish),
            tail=wish.tail,
        )  # fmt: skip
    except (NotFound, Rejected):
        return  # its pod has just gone, or its log has
    for stamp, text in stream:
        yield LogLine(stamp, pod, container, text, wish.stamped)


def _seconds(wish: _Wish) -> int | None:
    return None if wish.since is None else max(1, round(wish.since))


class _Follower:
    """Threads that read the containers' logs into one queue; one more looks for new pods."""

    def __init__(self, cluster: Cluster, name: str, namespace: str, wish: _Wish) -> None:
        self._cluster, self._name, self._namespace, self._wish = cluster, name, namespace, wish
        self._queue: queue.Queue[LogLine | Mlk8sError] = queue.Queue(_WAITING)
        self._over = threading.Event()
        self._streams: dict[tuple[str, str], LogStream | None] = {}
        """What is read now; None while it is being opened."""
        self._last: dict[tuple[str, str], str] = {}
        """Time of the last line that was told."""
        self._runs: dict[tuple[str, str], int] = {}
        """Restarts of the run that was read last."""

    def lines(self) -> Iterator[LogLine]:
        threading.Thread(target=self._look, name="mlk8s-logs", daemon=True).start()
        waiting: list[tuple[LogLine, float]] = []
        try:
            while True:
                try:
                    item = self._queue.get(timeout=_WINDOW / 3)
                except queue.Empty:
                    pass
                else:
                    if isinstance(item, Mlk8sError):
                        raise item
                    heapq.heappush(waiting, (item, time.monotonic()))
                    if not self._queue.empty() and len(waiting) < _WAITING:
                        continue
                while waiting and (time.monotonic() - waiting[0][1] >= _WINDOW or len(waiting) >= _WAITING):
                    yield heapq.heappop(waiting)[0]
        finally:
            self._over.set()
            for stream in list(self._streams.values()):
                if stream is not None:
                    stream.close()

    def _look(self) -> None:
        """Start a thread for every container that has lines and is not read, again and again."""
        first = True
        while not self._over.is_set():
            try:
                pods = self._cluster.list("Pod", self._namespace, labels=selector(self._name))
            except Forbidden as error:
                self._put(error)
                return
            except ClusterError:
                pods = []  # the API server is away for a moment
            else:
                for pod, item in _started(pods, self._wish):
                    key = pod, item.name
                    # A stream ends with its container, and with a lost connection.
                    if key not in self._streams and (item.running or self._runs.get(key) != item.restarts):
                        self._streams[key], self._runs[key] = None, item.restarts
                        threading.Thread(target=self._read, args=(key, first), daemon=True).start()
                first = False
            self._over.wait(_LOOK)

    def _read(self, key: tuple[str, str], first: bool) -> None:
        """Follow one run of a container, from the last line that was told.

        Args:
            first: whether it was there when following began: only then do `since` and `tail` hold.
        """
        pod, container = key
        last = self._last.get(key)
        begin: dict[str, Any] = {} if last is None else {"since_time": last}
        if last is None and first:
            begin = {"since_seconds": _seconds(self._wish), "tail": self._wish.tail}
        try:
            stream = LogStream(self._cluster, pod, self._namespace, container, follow=True, **begin)
            self._streams[key] = stream
            for stamp, text in stream:
                # `since_time` is cut to seconds: what was told before comes again.
                if stamp > self._last.get(key, ""):
                    self._last[key] = stamp
                    self._put(LogLine(stamp, pod, container, text, self._wish.stamped))
        except Forbidden as error:
            self._put(error)
        except ClusterError:
            pass  # its pod is gone, or it waits for its restart: the next look tells
        finally:
            del self._streams[key]

    def _put(self, item: LogLine | Mlk8sError) -> None:
        while not self._over.is_set():
            try:
                self._queue.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return
