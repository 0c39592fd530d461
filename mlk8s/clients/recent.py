"""The last answers of one pod's model server: GET /recent, which the pod shows to its own loopback only.

A port forward ends there: nobody gets at the answers but whoever may forward ports of these pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.forward import PortForward
from mlk8s.errors import ClusterError, NotFound, Unreachable
from mlk8s.spec.pods import SERVER_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = 10.0


@dataclass(frozen=True)
class Kept:
    """One answer as a pod keeps it: id, second since the epoch, rounded value as text, slices."""

    request: str
    at: float
    value: str
    slices: tuple[str, ...]


class RecentAnswers:
    """Reads one pod again and again, each time from where the last read ended.

    Args:
        query: what the pod is told of how to keep answers: `round`, `output`.
    """

    def __init__(self, cluster: Cluster, namespace: str, pod: str, query: Mapping[str, str]) -> None:
        from urllib3 import HTTPConnectionPool

        self.pod = pod
        self._query = dict(query)
        self._told = ""
        self._forward = PortForward(cluster, namespace, lambda: [pod], SERVER_PORT, say=self._hear)
        self._pool = HTTPConnectionPool(
            "127.0.0.1", self._forward.port, maxsize=1, retries=False, timeout=_TIMEOUT
        )
        self._run: str | None = None
        self._after = 0

    def read(self, seconds: float) -> tuple[list[Kept], int]:
        """Return what came since the last read, and how many answers were lost; the pod goes on keeping them.

        Args:
            seconds: for which it keeps them from now on.

        Raises:
            NotFound: the pod's server is of a version that keeps no answers.
            Unreachable: it does not answer.
        """
        found: list[Kept] = []
        lost, more = 0, True
        while more:
            page = self._page(seconds)
            if self._run not in (None, page["run"]):  # the process is another one, and counts from 0
                self._run, self._after = str(page["run"]), 0
                continue
            self._run = str(page["run"])
            found += [
                Kept(str(name), round(float(at), 3), str(value), tuple(slices))
                for name, at, value, slices in page["answers"]
            ]
            lost += int(page["lost"])
            self._after, more = int(page["next"]), bool(page["more"])
        return found, lost

    def close(self) -> None:
        """End the connection."""
        self._pool.close()
        self._forward.close()

    def _page(self, seconds: float) -> dict[str, Any]:
        from urllib3.exceptions import HTTPError

        fields = {**self._query, "after": str(self._after), "seconds": f"{seconds:g}"}
        where = f"pod {self.pod}, GET /recent"
        try:
            answer = self._pool.request("GET", "/recent", fields=fields)
        except HTTPError as error:
            raise Unreachable(f"the pod does not answer: {self._told or error}", where=where) from None
        if answer.status == 404:
            raise NotFound(
                "the model server keeps no answers: it is of an earlier version",
                where=where,
                next_step="deploy the service again with this version's image",
            )
        if answer.status != 200:
            raise ClusterError(f"the pod answered {answer.status}: {answer.data[:200]!r}", where=where)
        page: dict[str, Any] = orjson.loads(answer.data)
        return page

    def _hear(self, line: str) -> None:
        self._told = line
