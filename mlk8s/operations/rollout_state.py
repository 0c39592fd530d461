"""An analysed rollout as the cluster keeps it: a ConfigMap that any process can read, and go on from.

What people read is plain JSON in `data`; the blocks and how far Prometheus was read are packed beside it.
What another process asks of the one that works is an annotation, seen by that one when it next writes.
"""

from __future__ import annotations

import base64
import gzip
import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Conflict, Forbidden, NotFound, UsageError
from mlk8s.operations.canary_look import lease_name
from mlk8s.operations.record import now
from mlk8s.render.common import COMPONENT, MANAGED_BY, MANAGER, NAME
from mlk8s.render.rollout_job import ROLLOUT

if TYPE_CHECKING:
    from mlk8s.operations.canary_work import CanaryWork

REQUEST = "mlk8s.dev/canary-request"
FIELDS, _ASKER = "mlk8s-canary", "mlk8s-request"
_KEY, _PACKED = "rollout", "evidence"

Stage = Literal[
    "starting",
    "analysing",
    "promoting",
    "rolling-back",
    "ended",
    "before-switch",
    "switching",
    "after-switch",
]
"""Of a canary; of a blue/green service the last three beside the first, the fourth and the fifth."""
Kind = Literal["canary", "bluegreen"]
Wish = Literal["promote", "rollback", "hold", "resume"]


_KINDS = {"canary": "canary", "bluegreen": "blue/green one"}


@dataclass(frozen=True)
class Rollout:
    """What is written down of a rollout.

    Attributes:
        run: an identifier of its own.
        model, digest, header, cookie, replicas: the canary.
        analysis: Analysis as JSON.
        stage: how far it got.
        weight: percent that it means the canary to have; written before it is set.
        by: who worked on it last, as the Lease names him.
        updated: RFC 3339, UTC.
        template: hash of the canary's pod template: another one is another version.
        held: why neither the weight nor the version is changed, except to roll back; None where they may be.
        takes_over: the weight is left as somebody else set it, and the next one is ours again: two may own a
            field that both gave the same value, and the second would be refused.
        blind_since, unready_since: second since the epoch since when Prometheus does not answer, and none of
            the canary's pods is ready.
        answered: the last request that was answered.
        kind: 'canary', or 'bluegreen' for the two colours of a service.
        outcome: 'promoted', 'rolled back', 'inconclusive', 'failed'; None while it goes on.
        why: sentences.
        decision: the last one, as `Decision.to_dict` has it.
    """

    run: str
    model: str
    digest: str | None
    header: str | None
    replicas: int
    analysis: dict[str, Any]
    cookie: str | None = None
    kind: Kind = "canary"
    stage: Stage = "starting"
    weight: int = 0
    by: str | None = None
    updated: str | None = None
    template: str | None = None
    held: str | None = None
    takes_over: bool = False
    blind_since: float | None = None
    unready_since: float | None = None
    answered: str | None = None
    outcome: str | None = None
    why: tuple[str, ...] = ()
    decision: dict[str, Any] | None = None

    @property
    def outcome_words(self) -> str:
        """How it ended, as a verb."""
        return "failed" if self.outcome == "failed" else f"was {self.outcome}"

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.stage == "ended"


@dataclass(frozen=True)
class Packed:
    """What is read only to go on: the judge's state and Prometheus' cursor, each as its `to_dict` has it."""

    state: dict[str, Any] | None = None
    cursor: dict[str, Any] | None = None


@dataclass(frozen=True)
class Request:
    """What another process wants.

    Attributes:
        id: of this request.
        wish: what.
        by: who.
    """

    id: str
    wish: Wish
    by: str


def config_map(service: str) -> str:
    """Return the name of the ConfigMap of a service's rollout."""
    return f"mlk8s-canary-{service}"


def read(cluster: Cluster, service: str, namespace: str) -> Rollout | None:
    """Return what is written down of a service's last rollout; None where there was none.

    Raises:
        Conflict: it was not written by this version of mlk8s.
    """
    found = cluster.find("ConfigMap", config_map(service), namespace)
    return None if found is None else _parse(found)


def read_all(cluster: Cluster, service: str, namespace: str) -> tuple[Rollout, Packed] | None:
    """Return it with what is packed."""
    found = cluster.find("ConfigMap", config_map(service), namespace)
    if found is None:
        return None
    packed = (found.get("binaryData") or {}).get(_PACKED)
    try:
        values = json.loads(gzip.decompress(base64.b64decode(packed))) if packed else {}
        return _parse(found), Packed(**values)
    except (ValueError, OSError, TypeError) as error:
        raise _unreadable(service, namespace, error) from None


def begin(cluster: Cluster, service: str, namespace: str, rollout: Rollout) -> None:
    """Write a new rollout down in the last one's place; what was asked of that is forgotten before."""
    body = {"metadata": {"annotations": {REQUEST: None}}}
    with suppress(NotFound):
        cluster.patch("ConfigMap", config_map(service), body, namespace, manager=_ASKER)
    write(cluster, service, namespace, rollout, Packed())


def write(
    cluster: Cluster, service: str, namespace: str, rollout: Rollout, packed: Packed | None = None
) -> Request | None:
    """Write it down; return what another process asks meanwhile, where that is not answered yet."""
    rollout = replace(rollout, updated=now())
    body: dict[str, Any] = {"data": {_KEY: json.dumps(asdict(rollout), separators=(",", ":"))}}
    if packed is not None:
        text = gzip.compress(json.dumps(asdict(packed), separators=(",", ":")).encode(), mtime=0)
        body["binaryData"] = {_PACKED: base64.b64encode(text).decode()}
    name = config_map(service)
    labels = {NAME: service, COMPONENT: "model-server", MANAGED_BY: MANAGER}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    if rollout.stage == "starting":
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **body}
        found = cluster.apply(body, force=True, manager=FIELDS)
    else:
        found = cluster.patch("ConfigMap", name, body, namespace, manager=FIELDS)
    return _request(found, rollout)


def ask(cluster: Cluster, service: str, namespace: str, wish: Wish, by: str) -> Request:
    """Write down what the process that works on a rollout is asked to do."""
    request = Request(uuid.uuid4().hex[:8], wish, by)
    body = {"metadata": {"annotations": {REQUEST: json.dumps(asdict(request))}}}
    cluster.patch("ConfigMap", config_map(service), body, namespace, manager=_ASKER)
    return request


def require_kind(found: Rollout | None, kind: Kind, service: str, namespace: str) -> None:
    """Refuse a rollout of the other kind that is not over.

    Raises:
        Conflict: names the commands that are for it.
    """
    if found is None or found.ended or found.kind == kind:
        return
    raise Conflict(
        f"the rollout of {service} is a {_KINDS[found.kind]}",
        where=f"namespace {namespace}",
        expected=f"a {_KINDS[kind]}",
        next_step=f"`mlk8s {found.kind} run` goes on, `mlk8s {found.kind} abort {service}` ends it",
    )


def close(work: CanaryWork, outcome: str) -> None:
    """Write down that somebody ended a rollout that nobody works on, where there is one."""
    found = read(work.cluster, work.name, work.namespace)
    if found is None or found.ended:
        return
    by = work.lease.identity
    rollout = replace(found, stage="ended", weight=0, outcome=outcome, by=by, why=(f"{outcome} by {by}",))
    write(work.cluster, work.name, work.namespace, rollout)


def remove_controller(cluster: Cluster, name: str, namespace: str) -> bool:
    """Remove a rollout's Job, and with it all that it owns; return whether there was one."""
    try:
        found = cluster.find("Job", lease_name(name), namespace)
    except Forbidden:
        return False  # who may not read it has made none
    if found is None or (found["metadata"].get("labels") or {}).get(ROLLOUT) != name:
        return False
    return cluster.delete("Job", lease_name(name), namespace, propagation="Foreground")


def _request(found: Mapping[str, Any], rollout: Rollout) -> Request | None:
    text = (found["metadata"].get("annotations") or {}).get(REQUEST)
    try:
        request = Request(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        return None  # not ours: nobody waits for an answer
    return None if request is None or request.id == rollout.answered else request


def _parse(found: Mapping[str, Any]) -> Rollout:
    metadata = found["metadata"]
    try:
        values = json.loads(found["data"][_KEY])
        return Rollout(**{**values, "why": tuple(values.get("why") or ())})
    except (KeyError, ValueError, TypeError) as error:
        raise _unreadable(
            metadata["name"].removeprefix("mlk8s-canary-"), metadata["namespace"], error
        ) from None


def _unreadable(service: str, namespace: str, error: Exception) -> Conflict:
    return Conflict(
        f"what was written down of the rollout of {service} cannot be read: {error}",
        where=f"ConfigMap {namespace}/{config_map(service)}",
        expected="what this version of mlk8s writes",
        next_step=f"`kubectl delete configmap -n {namespace} {config_map(service)}` forgets it",
    )


def require(found: Rollout | None, service: str, namespace: str) -> Rollout:
    """Return a rollout that is not over.

    Raises:
        UsageError: there is none.
    """
    if found is None or found.ended:
        last = "" if found is None else f"; the last one, of {found.model}, {found.outcome_words}"
        raise UsageError(
            f"{service} has no analysed rollout{last}",
            where=f"namespace {namespace}",
            next_step=f"`mlk8s canary run {service} --model s3://... --slo-errors 0.01`",
        )
    return found
