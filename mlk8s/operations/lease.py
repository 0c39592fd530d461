"""One operator at a time: a Lease that the working process holds and renews."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Conflict

DURATION = 8.0
"""Seconds after its last renewal that a Lease is thought to be held."""
_RENEW = 2.0
_POLL = 0.5


class OperatorLease:
    """A Lease held for as long as a `with` block runs.

    A Lease that is not renewed for its duration, by our own clock, belongs to a process that is gone, and is
    taken over; the clocks of two machines are never compared.

    Args:
        purpose: what is done under it, for messages.

    Attributes:
        cut_off: it was lost because the API server did not answer for too long, not to another process.

    Raises:
        Conflict: another process holds it and is alive; names it.
    """

    def __init__(
        self, cluster: Cluster, name: str, namespace: str, *, purpose: str, say: Callable[[str], None]
    ) -> None:
        self._cluster, self._name, self._namespace = cluster, name, namespace
        self._purpose, self._say = purpose, say
        self._identity = f"{operator_name()}:{uuid.uuid4().hex[:8]}"
        self._version = ""
        self._lost: str | None = None
        self.cut_off = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._version = self._acquire()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{self._name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._lost is None:
            try:
                self._cluster.delete("Lease", self._name, self._namespace)
            except ClusterError:
                pass  # it expires by itself

    @property
    def identity(self) -> str:
        """Who holds it: USER@HOST:PID:RANDOM."""
        return self._identity

    def check(self) -> None:
        """Refuse to go on after the Lease was lost.

        Raises:
            Conflict: another process took it over, because renewals stopped for too long.
        """
        if self._lost is not None:
            raise Conflict(
                f"{self._purpose} was stopped: {self._lost}",
                where=f"Lease {self._namespace}/{self._name}",
                next_step="look at the status; the process that holds the Lease now goes on with the work",
            )

    def _acquire(self) -> str:
        while True:
            now = _now()
            spec = {
                "holderIdentity": self._identity, "leaseDurationSeconds": int(DURATION),
                "acquireTime": now, "renewTime": now, "leaseTransitions": 0,
            }  # fmt: skip
            metadata = {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "mlk8s"},
            }
            try:
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
                return str(self._cluster.create({**lease, "spec": spec})["metadata"]["resourceVersion"])
            except Conflict:
                held = self._cluster.find("Lease", self._name, self._namespace)
            if held is None or not self._outlives(held):
                continue
            spec["leaseTransitions"] = int(held["spec"].get("leaseTransitions") or 0) + 1
            try:
                return self._write(spec, held["metadata"]["resourceVersion"])
            except Conflict:
                continue  # somebody was faster: see who

    def _outlives(self, held: dict[str, Any]) -> bool:
        """Watch a Lease for its duration: True when nobody renews it, False when it is gone.

        Raises:
            Conflict: it was renewed, so its holder is alive.
        """
        holder = str(held["spec"].get("holderIdentity") or "unknown")
        duration = float(held["spec"].get("leaseDurationSeconds") or DURATION)
        since = held["spec"].get("renewTime")
        self._say(f"{self._purpose}: {holder} held the Lease at {since}; watching whether it is still there")
        end = time.monotonic() + duration
        while time.monotonic() < end:
            time.sleep(_POLL)
            seen = self._cluster.find("Lease", self._name, self._namespace)
            if seen is None:
                return False
            if seen["spec"].get("renewTime") != since or seen["spec"].get("holderIdentity") != holder:
                raise Conflict(
                    f"{self._purpose} is refused: {seen['spec'].get('holderIdentity')} works on it now",
                    where=f"Lease {self._namespace}/{self._name}",
                    expected="one operator at a time",
                    next_step="wait until that process has ended, then look at the status",
                )
        self._say(f"{self._purpose}: {holder} is gone; going on in its place")
        return True

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._stop.wait(_RENEW):
            try:
                self._version = self._write({"renewTime": _now()}, self._version)
                renewed = time.monotonic()
            except Conflict:
                if not self._still_ours():
                    self._lost = "another process took the Lease over"
                    return
            except ClusterError as error:
                if time.monotonic() - renewed > DURATION:
                    self.cut_off = True
                    self._lost = f"the Lease could not be renewed for {DURATION:g} s: {error.what}"
                    return

    def _still_ours(self) -> bool:
        """Whether a refused renewal was only the repetition of one whose answer got lost."""
        try:
            seen = self._cluster.find("Lease", self._name, self._namespace)
        except ClusterError:
            return True  # the next renewal tells
        if seen is None or seen["spec"].get("holderIdentity") != self._identity:
            return False
        self._version = str(seen["metadata"]["resourceVersion"])
        return True

    def _write(self, spec: dict[str, Any], version: str) -> str:
        # The resourceVersion makes the write fail when anybody else has written since.
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        lease = self._cluster.patch("Lease", self._name, body, self._namespace)
        return str(lease["metadata"]["resourceVersion"])


def working(cluster: Cluster, name: str, namespace: str) -> str | None:
    """Watch a Lease for its duration; return who renews it, None where nobody does."""
    end = time.monotonic() + DURATION
    first: str | None = None
    while time.monotonic() < end:
        seen = cluster.find("Lease", name, namespace)
        if seen is None:
            return None
        renewed = str(seen["spec"].get("renewTime"))
        if first is not None and renewed != first:
            return str(seen["spec"].get("holderIdentity") or "unknown")
        first = renewed
        time.sleep(_POLL)
    return None


def holder(cluster: Cluster, name: str, namespace: str) -> str | None:
    """Return who holds a Lease by its own words; None where there is none."""
    lease = cluster.find("Lease", name, namespace)
    return None if lease is None else str(lease["spec"].get("holderIdentity") or "") or None


def operator_name() -> str:
    """Return who this process is, for others to read: USER@HOST:PID."""
    return f"{_user()}@{socket.gethostname()}:{os.getpid()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a pod's uid has no name
        return str(os.getuid())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
