"""What is known of a namespace and its cluster; a rule that needs more asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlk8s.assess.cause import Cause
from mlk8s.assess.doctor_facts import Unknown
from mlk8s.assess.observed import Object


class Wanted(Exception):
    """Facts that a rule needs and that nobody has looked up yet.

    Attributes:
        keys: see `Facts`.
    """

    def __init__(self, *keys: str) -> None:
        super().__init__(", ".join(keys))
        self.keys = keys


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Lists of objects by key; a key that was looked up in vain has an `Unknown`.

    Keys:
        Pod, Event, Node, ...: the namespace's (or the cluster's) objects of a kind.
        */Pod: those of every namespace. NAMESPACE/ConfigMap: those of another namespace.
        log:POD/CONTAINER/previous|current: last lines, as {"line": text}.
        promql:EXPRESSION: series, as {"labels": {...}, "value": number}.
        one:KIND/NAME: one object of the namespace, where a list would say too much (Secrets).
        get:PATH: what the API server answers there, one object.

    Attributes:
        now: the clock reading.
        ingress_namespace: where the ingress controller's pods run, where that is known.
        prometheus: whether there is a Prometheus to ask.
        prometheus_service: which, 'NAMESPACE/SERVICE:PORT'.
    """

    namespace: str
    now: datetime
    found: Mapping[str, Sequence[Object] | Unknown]
    ingress_namespace: str | None = None
    prometheus: bool = False
    prometheus_service: str | None = None

    def want(self, *keys: str) -> None:
        """Ask for several lists at once.

        Raises:
            Wanted: some of them were not looked up yet.
        """
        lacking = [key for key in keys if key not in self.found]
        if lacking:
            raise Wanted(*lacking)

    def of(self, key: str) -> Sequence[Object]:
        """Return a list; empty where it may not be seen.

        Raises:
            Wanted: it was not looked up yet.
        """
        self.want(key)
        found = self.found[key]
        return () if isinstance(found, Unknown) else found

    def unseen(self, key: str) -> str | None:
        """Return why a list could not be seen; None where it was."""
        self.want(key)
        found = self.found[key]
        return found.reason if isinstance(found, Unknown) else None

    def one(self, kind: str, name: str) -> Object | None:
        """Return one object by its name; None where it is not there."""
        return next((item for item in self.of(kind) if item["metadata"]["name"] == name), None)

    def owned(self, kind: str, owner: Object) -> list[Object]:
        """Return the objects of a kind that an object owns directly."""
        uid = owner["metadata"].get("uid")
        return [
            item
            for item in self.of(kind)
            if any(ref.get("uid") == uid for ref in item["metadata"].get("ownerReferences") or ())
        ]

    @property
    def events(self) -> Sequence[Object]:
        """The namespace's events, oldest first."""
        return self.of("Event")


@dataclass(frozen=True)
class Answer:
    """What a rule found of one object.

    Attributes:
        summary: how far or how well it is, in a few words.
        cause: what is wrong; None where nothing is.
        starting: whether it is on its way: nothing is wrong, and it is not there yet.
    """

    summary: str
    cause: Cause | None = None
    starting: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """The answer to `why`.

    Attributes:
        object: what was asked for, 'deployment team/iris'.
        state: `broken` where there is a cause, `starting` where nothing is wrong yet.
        summary: one sentence: the cause, or how well it is.
        cause: the cause.
        seconds: how long the answer took.
    """

    object: str
    state: str
    summary: str
    cause: Cause | None = field(default=None)
    seconds: float = 0.0

    @classmethod
    def make(cls, item: str, answer: Answer) -> Diagnosis:
        """Put an object's answer into one sentence."""
        if answer.cause is not None:
            return cls(item, "broken", answer.cause.message, answer.cause)
        state = "starting" if answer.starting else "healthy"
        words = "nothing is wrong so far" if answer.starting else "nothing is wrong"
        return cls(item, state, f"{words}: {answer.summary}")

    @property
    def id(self) -> str | None:
        """The cause's id; None where nothing is wrong."""
        return self.cause.id if self.cause else None

    @property
    def remedy(self) -> str | None:
        """What the reader can do; None where nothing is wrong."""
        return self.cause.remedy if self.cause else None

    @property
    def evidence(self) -> tuple[str, ...]:
        """The facts that show the cause."""
        return self.cause.evidence if self.cause else ()

    def took(self, seconds: float) -> Diagnosis:
        """Return the same with the time it took."""
        return replace(self, seconds=seconds)

    def __str__(self) -> str:
        if self.cause is None:
            return f"{self.object}: {self.summary}"
        doubt = "" if self.cause.certain else " (it may still heal)"
        return f"{self.object}: {self.summary}{doubt}\n  remedy: {self.remedy}"
