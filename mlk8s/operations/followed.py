"""Reads that watches keep up to date: the first asks the API server, those after it cost no call."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock, Thread
from types import TracebackType
from typing import Protocol, Self, TypeVar

from mlk8s.clients.cluster import Cluster, Manifest, Manifests, event_time
from mlk8s.clients.watching import Watch
from mlk8s.errors import Mlk8sError, Unreachable

_BELIEVED = 30.0
"""Seconds for which a watch is believed: who cuts a connection need not tell its ends."""
_AGAIN = 2.0
"""Seconds from one watch to the next where the first did not last; until then each look reads."""
Verdict = TypeVar("Verdict")


class Reads(Protocol):
    """What a wait reads from: a Cluster, or what is kept of it."""

    def get(self, kind: str, name: str, namespace: str) -> Manifest:
        """Return one object."""
        ...

    def list(self, kind: str, namespace: str, *, labels: str | None = None) -> Manifests:
        """Return the objects of a kind that match the selector."""
        ...

    def events(self, namespace: str) -> Manifests:
        """Return the events of a namespace, oldest first."""
        ...


class Followed:
    """What one wait looks at again and again, for as long as a `with` block runs.

    Each kind is as the server told last, as a rule milliseconds ago; two kinds may be of different moments.
    Where no watch lives, because the server is away or does not let us, every look reads, and raises what the
    cluster raises.

    Raises:
        As Cluster's methods of the same names.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kept: dict[tuple[str, str, str | None, str | None], _Kept] = {}
        self._remembered = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for kept in self._kept.values():
            kept.close()

    def look(self, at: Callable[[Reads], Verdict], over: Callable[[Verdict], bool]) -> Verdict:
        """Return a verdict on what is kept; where that would end the wait, on what is read then."""
        before = self._remembered
        verdict = at(self)
        return at(self._cluster) if over(verdict) and self._remembered > before else verdict

    def get(self, kind: str, name: str, namespace: str) -> Manifest:
        """Return one object.

        Raises:
            NotFound: it is not there.
        """

        def read() -> tuple[Manifests, None]:
            return [self._cluster.get(kind, name, namespace)], None

        return (self._items(kind, namespace, None, f"metadata.name={name}", read) or read()[0])[0]

    def list(self, kind: str, namespace: str, *, labels: str | None = None) -> Manifests:
        """Return the objects of a kind that match the selector."""

        def read() -> tuple[Manifests, str]:
            return self._cluster.listed(kind, namespace, labels=labels)

        return self._items(kind, namespace, labels, None, read)

    def events(self, namespace: str) -> Manifests:
        """Return the events of a namespace, oldest first."""
        return sorted(self.list("Event", namespace), key=event_time)

    def _items(
        self, kind: str, namespace: str, labels: str | None, fields: str | None,
        read: Callable[[], tuple[Manifests, str | None]],
    ) -> Manifests:  # fmt: skip
        key = kind, namespace, labels, fields
        kept = self._kept.get(key)
        if kept is not None and kept.lives:
            self._remembered += 1
            return kept.items()
        items, version = read()
        if kept is None or kept.may_begin_again:
            if kept is not None:
                kept.close()
            self._kept[key] = _Kept(self._cluster, *key, items, version)
        return items


class _Kept:
    """The objects of one selection, changed by a thread for as long as its watch lives.

    Args:
        items: as they were read.
        version: resource version of that list; None lets the watch tell of all of them again.
    """

    def __init__(
        self, cluster: Cluster, kind: str, namespace: str, labels: str | None, fields: str | None,
        items: Manifests, version: str | None,
    ) -> None:  # fmt: skip
        self._lock, self._began = Lock(), time.monotonic()
        # By name: one that was made anew takes the place of the old one, whose end may have gone unseen.
        self._objects = {item["metadata"]["name"]: item for item in items}
        self._watch: Watch | None = None
        self._refused = self._closed = False

        def run() -> None:
            try:
                watch = cluster.watch(
                    kind, namespace, labels=labels, fields=fields, version=version, seconds=_BELIEVED
                )
            except Mlk8sError as error:
                self._refused = not isinstance(error, Unreachable)
                return
            with self._lock:
                self._watch = watch
            if self._closed:
                watch.close()
            self._follow(watch)

        Thread(target=run, name=f"watch-{kind}", daemon=True).start()

    @property
    def lives(self) -> bool:
        """Whether the server tells of changes; not before it has said so."""
        return self._watch is not None and time.monotonic() - self._began < _BELIEVED

    @property
    def may_begin_again(self) -> bool:
        """Whether another watch may be tried."""
        lasted = time.monotonic() - self._began
        ended = self._watch is None and lasted >= _AGAIN
        return not self._refused and (ended or lasted >= _BELIEVED)

    def items(self) -> Manifests:
        """Return the objects as they are now, by name as a list has them."""
        with self._lock:
            return sorted(self._objects.values(), key=lambda item: str(item["metadata"]["name"]))

    def close(self) -> None:
        """End the watch; its thread ends with it."""
        with self._lock:
            self._closed, watch = True, self._watch
        if watch is not None:
            watch.close()

    def _follow(self, watch: Watch) -> None:
        for change, item in watch:
            with self._lock:
                if change == "DELETED":
                    self._objects.pop(item["metadata"]["name"], None)
                else:
                    self._objects[item["metadata"]["name"]] = item
        with self._lock:
            self._watch = None
