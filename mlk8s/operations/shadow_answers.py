"""The answers of both versions, read from each of their pods once a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TextIO

from mlk8s.assess.evidence.shadow import Answer
from mlk8s.assess.evidence.shadow_record import ShadowRecord
from mlk8s.assess.observed import terminating
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.recent import RecentAnswers
from mlk8s.errors import Unreachable
from mlk8s.render.common import COMPONENT, INSTANCE, NAME, Identity
from mlk8s.spec.shadow import Shadow

Of = Literal["stable", "shadow"]
KEEP = 3.0
"""Blocks for which the pods go on keeping answers that nobody has read."""
_SLACK = 30.0


class Answers:
    """Everything that both versions answered since the first read; also appended to a file.

    Args:
        file: gets a line an answer.
        say: hears, once, of a pod that cannot be read, and of answers that were lost.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        namespace: str,
        shadow: Shadow,
        file: TextIO,
        say: Callable[[str], None],
    ) -> None:
        self._cluster, self._name, self._namespace = cluster, name, namespace
        self._file, self._say = file, say
        self._seconds = KEEP * shadow.block + _SLACK
        self._query = {} if shadow.output is None else {"output": shadow.output}
        if shadow.round is not None:
            self._query["round"] = str(shadow.round)
        self._readers: dict[str, RecentAnswers] = {}
        self._told: set[str] = set()
        self.of: dict[Of, list[Answer]] = {"stable": [], "shadow": []}
        self.lost = 0

    def begin(self) -> None:
        """Let every pod keep its answers from now on.

        Raises:
            NotFound: the stable version's server is too old for it.
            Unreachable: no pod of the stable version can be read.
        """
        if not self.skip()["stable"]:
            raise Unreachable(
                f"no pod of {self._name} can be read, so nothing could be compared",
                where=f"namespace {self._namespace!r}",
                expected="a ready pod, and the right to create pods/portforward",
                next_step=f"`mlk8s why {self._name}`",
            )

    def skip(self) -> dict[Of, int]:
        """Read what is new and leave it out: it was answered before copies were made."""
        return self._collect(keep=False)

    def collect(self) -> dict[Of, int]:
        """Read what is new from every pod; return how many pods of each version could be read.

        Raises:
            NotFound: a server is too old for it.
            ClusterError: the API server refuses, or does not answer.
        """
        return self._collect(keep=True)

    def _collect(self, *, keep: bool) -> dict[Of, int]:
        read: dict[Of, int] = {"stable": 0, "shadow": 0}
        seen: set[str] = set()
        for of in read:
            for pod in self._pods(of):
                seen.add(pod)
                read[of] += self._read(of, pod, keep)
        for pod in self._readers.keys() - seen:
            self._readers.pop(pod).close()
        self._file.flush()
        return read

    def close(self) -> None:
        """End the connections; the pods forget what they kept when its time is over."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _pods(self, of: Of) -> list[str]:
        instance = Identity(self._name, of).instance
        labels = f"{NAME}={self._name},{INSTANCE}={instance},{COMPONENT}=model-server"
        return [
            str(pod["metadata"]["name"])
            for pod in self._cluster.list("Pod", self._namespace, labels=labels)
            if not terminating(pod) and (pod.get("status") or {}).get("phase") == "Running"
        ]

    def _read(self, of: Of, pod: str, keep: bool) -> bool:
        reader = self._readers.get(pod)
        if reader is None:
            reader = RecentAnswers(self._cluster, self._namespace, pod, self._query)
            self._readers[pod] = reader
        try:
            found, lost = reader.read(self._seconds)
        except Unreachable as error:
            self._once(f"{self._name}: {pod} cannot be read: {error.what}")
            return False
        if not keep:
            return True
        if lost:
            self.lost += lost
            self._once(f"{self._name}: {pod} keeps fewer answers than come in a block; shorten the block")
        answers = [Answer(one.request, one.value, one.at, one.slices) for one in found]
        self._file.writelines(ShadowRecord.line(of, one) for one in answers)
        self.of[of] += answers
        return True

    def _once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._say(line)
