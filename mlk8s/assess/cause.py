"""What a cause is: which one, in Kubernetes' own words, where, and what the reader can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlk8s.assess.catalogue import FAMILY


@dataclass(frozen=True)
class LogSource:
    """Whose log shows more: a container of a pod, its last ended run where `previous`."""

    pod: str
    container: str
    previous: bool


@dataclass(frozen=True)
class Cause:
    """Why something cannot do what it is there for.

    Attributes:
        id: which one, of `mlk8s.assess.catalogue.CAUSES`.
        message: one sentence with Kubernetes' own words.
        where: the object.
        remedy: what the reader can do.
        certain: False as long as it may heal by itself.
        logs: whose log lines belong to it.
        evidence: the facts that show it, one a line.
    """

    id: str
    message: str
    where: str
    remedy: str
    certain: bool = True
    logs: LogSource | None = None
    evidence: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The family of the cause: 'ImagePull', 'CrashLoop', 'Unschedulable', ..."""
        return FAMILY[self.id]


def first(causes: Iterator[Cause]) -> Cause | None:
    """Return the first cause that is certain, else the first suspicion."""
    suspicion = None
    for cause in causes:
        if cause.certain:
            return cause
        suspicion = suspicion or cause
    return suspicion


def short(words: str, limit: int = 600) -> str:
    """Return the text on one paragraph's length: its end says more than its beginning."""
    text = words.strip()
    return text if len(text) <= limit else "…" + text[-limit:]
