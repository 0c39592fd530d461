"""Which rules look at which object, and what is asked where only a name is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from mlk8s.assess.catalogue import FAMILY
from mlk8s.assess.observed import Object, place, terminating
from mlk8s.assess.why.batch import cron_job, job
from mlk8s.assess.why.deletion import namespace
from mlk8s.assess.why.facts import Answer, Diagnosis, Facts
from mlk8s.assess.why.keda import scaled_object
from mlk8s.assess.why.nodes import budget, node
from mlk8s.assess.why.pods import pod
from mlk8s.assess.why.scaling import autoscaler
from mlk8s.assess.why.services import service
from mlk8s.assess.why.storage import claim
from mlk8s.assess.why.traffic import http_route, ingress
from mlk8s.assess.why.vertical import vertical_autoscaler
from mlk8s.assess.why.workloads import deployment, pod_set, replica_set

Rule = Callable[[Object, Facts], Answer]

RULES: dict[str, Rule] = {
    "Deployment": deployment,
    "StatefulSet": pod_set,
    "DaemonSet": pod_set,
    "ReplicaSet": replica_set,
    "Pod": pod,
    "Job": job,
    "CronJob": cron_job,
    "HorizontalPodAutoscaler": autoscaler,
    "Ingress": ingress,
    "HTTPRoute": http_route,
    "Service": service,
    "PersistentVolumeClaim": claim,
    "PodDisruptionBudget": budget,
    "ScaledObject": scaled_object,
    "VerticalPodAutoscaler": vertical_autoscaler,
    "Node": node,
    "Namespace": namespace,
}
"""Kind → its rule."""

SHORT: dict[str, str] = {
    "deploy": "Deployment", "sts": "StatefulSet", "ds": "DaemonSet", "rs": "ReplicaSet", "po": "Pod",
    "cj": "CronJob", "hpa": "HorizontalPodAutoscaler", "ing": "Ingress", "svc": "Service",
    "pvc": "PersistentVolumeClaim", "pdb": "PodDisruptionBudget", "so": "ScaledObject",
    "vpa": "VerticalPodAutoscaler", "no": "Node", "ns": "Namespace",
    "ingresses": "Ingress",
    **{kind.lower(): kind for kind in RULES}, **{f"{kind.lower()}s": kind for kind in RULES},
}  # fmt: skip
"""kubectl's names of kinds → kind."""

FIRST: dict[str, tuple[str, ...]] = {
    "Deployment": ("Deployment", "Pod", "ReplicaSet", "Event"),
    "StatefulSet": ("StatefulSet", "Pod", "Event"),
    "DaemonSet": ("DaemonSet", "Pod", "Event"),
    "ReplicaSet": ("ReplicaSet", "Pod", "Event"),
    "Pod": ("Pod", "Event"),
    "Job": ("Job", "Pod", "Event"),
    "CronJob": ("CronJob", "Job", "Pod", "Event"),
    "Ingress": ("Ingress", "IngressClass", "Service", "Pod", "Event", "EndpointSlice", "NetworkPolicy"),
    "Service": ("Service", "Pod", "Event", "EndpointSlice"),
    "PersistentVolumeClaim": ("PersistentVolumeClaim", "StorageClass", "PersistentVolume", "Pod", "Event"),
}
"""What is looked up before the first rule runs, so that it goes in one round."""

NAMED = (
    "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "Pod", "Service", "Ingress", "HTTPRoute",
    "HorizontalPodAutoscaler", "ScaledObject", "VerticalPodAutoscaler", "PersistentVolumeClaim", "ReplicaSet",
    "PodDisruptionBudget",
)  # fmt: skip
"""Kinds that may be meant by a name alone, in the order in which they are looked at."""

_OWNED = ("Pod", "ReplicaSet", "Job")


class Absent(Exception):
    """There is no such object.

    Attributes:
        near: names that are there and look alike, else all of them.
    """

    def __init__(self, near: Sequence[str]) -> None:
        super().__init__(", ".join(near))
        self.near = tuple(near)


def diagnose(kind: str | None, name: str, facts: Facts) -> Diagnosis:
    """Return why one object is not well.

    Args:
        kind: its kind; None where only a name was given: what has this name is looked at, workloads first.

    Raises:
        Wanted: facts that nobody has looked up yet.
        Absent: there is no such object.
    """
    gone = _ending_namespace(facts)
    if kind is None:
        found = [item for one in NAMED if (item := _one(one, name, facts)) is not None]
        found += _scalers_of(found, facts)
        if not found:
            raise Absent(_near(name, [i["metadata"]["name"] for one in NAMED for i in facts.of(one)]))
        return _first_broken(found, facts, gone)
    item = _one(kind, name, facts)
    if item is None:
        raise Absent(_near(name, [i["metadata"]["name"] for i in facts.of(kind)]))
    return Diagnosis.make(place(item).replace("None/", ""), _answer(item, facts, gone))


def everything(facts: Facts) -> list[Diagnosis]:
    """Return how everything in the namespace is; of objects with one broken place only the first is told.

    Raises:
        Wanted: facts that nobody has looked up yet.
    """
    facts.want(*NAMED, "Event")
    gone = _ending_namespace(facts)
    found: list[Diagnosis] = []
    told: set[str] = set()
    for item in _roots(facts):
        diagnosis = Diagnosis.make(place(item), _answer(item, facts, gone))
        cause = diagnosis.cause
        if cause is not None and cause.where in told:
            continue
        if cause is not None:
            told.add(cause.where)
        found.append(diagnosis)
    return found


def _roots(facts: Facts) -> Iterator[Object]:
    for kind in NAMED:
        for item in facts.of(kind):
            owners = item["metadata"].get("ownerReferences") or ()
            if not (kind in _OWNED and any(owner.get("controller") for owner in owners)):
                yield dict(item) | {"kind": kind}


def _answer(item: Object, facts: Facts, gone: Answer | None) -> Answer:
    answer = RULES[str(item["kind"])](item, facts)
    held = answer.cause is not None and FAMILY[answer.cause.id] == "Deletion"
    return answer if gone is None or held else gone


def _first_broken(items: Sequence[Object], facts: Facts, gone: Answer | None) -> Diagnosis:
    """Return the first of several objects of one name that is broken, else how all of them are."""
    found = [Diagnosis.make(place(item), _answer(item, facts, gone)) for item in items]
    for diagnosis in found:
        if diagnosis.cause is not None:
            return replace(diagnosis, object=found[0].object)
    for diagnosis in found:
        if diagnosis.state == "starting":
            return diagnosis
    return found[0]


def _scalers_of(items: Sequence[Object], facts: Facts) -> list[Object]:
    """Return the autoscalers of a model service's other colour, which have another name than the service."""
    services = {i["metadata"]["name"] for i in items if i["kind"] == "Deployment" and _service(i)}
    there = {(item["kind"], item["metadata"]["name"]) for item in items}
    return [
        dict(item) | {"kind": kind}
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for item in facts.of(kind)
        if _service(item) in services and (kind, item["metadata"]["name"]) not in there
    ]


def _service(item: Object) -> str | None:
    """Return the model service that an object of ours belongs to."""
    labels = item["metadata"].get("labels") or {}
    name = labels.get("app.kubernetes.io/name")
    return name if labels.get("app.kubernetes.io/managed-by") == "mlk8s" else None


def _one(kind: str, name: str, facts: Facts) -> Object | None:
    if kind == "Namespace" and name == ".":
        name = facts.namespace
    found = facts.one(kind, name)
    return dict(found) | {"kind": kind} if found is not None else None


def _ending_namespace(facts: Facts) -> Answer | None:
    item = facts.one("Namespace", facts.namespace)
    return namespace(item, facts) if item is not None and terminating(item) else None


def _near(name: str, names: Sequence[str]) -> list[str]:
    unique = sorted(set(names))
    return get_close_matches(name, unique, n=3) or unique[:10]
