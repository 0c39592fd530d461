"""Why something that was deleted is still there."""

from __future__ import annotations

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, age, condition, place, terminating
from mlk8s.assess.why.facts import Answer, Facts

_PATIENCE = 5.0
"""Seconds that a controller may take to do its part and remove its finalizer."""
_NODE_PATIENCE = 30.0
"""Seconds beyond the grace period that a node may take to say that a pod has ended."""
_NO_FINALIZERS = """'{"metadata":{"finalizers":null}}'"""
_OWN = ("kubernetes.io/pvc-protection", "kubernetes.io/pv-protection", "foregroundDeletion", "orphan")


def held(item: Object, facts: Facts) -> Cause | None:
    """Return what holds an object that is being deleted; None while it may just be ending."""
    if not terminating(item):
        return None
    metadata = item["metadata"]
    # the deletion's time is that of its end: the request's plus the grace period
    over = age(metadata["deletionTimestamp"], facts.now)
    foreign = [name for name in metadata.get("finalizers") or () if name not in _OWN]
    kind, name, namespace = str(item.get("kind", "pod")).lower(), metadata["name"], metadata.get("namespace")
    if foreign and over >= _PATIENCE:
        return Cause(
            "finalizer",
            f"it was deleted {over:.0f} s ago, and the finalizer {', '.join(foreign)} still holds it",
            place(item),
            f"see to the controller of {foreign[0]}; where that is gone for good: "
            f"`kubectl patch {kind} {name} -n {namespace} --type=merge -p {_NO_FINALIZERS}`",
            evidence=(
                f"deletionTimestamp {metadata['deletionTimestamp']}",
                f"finalizers: {', '.join(foreign)}",
            ),
        )
    if "kubernetes.io/pvc-protection" in (metadata.get("finalizers") or ()) and over >= _PATIENCE:
        users = [p["metadata"]["name"] for p in facts.of("Pod") if name in claims_of(p)]
        return Cause(
            "finalizer",
            f"the claim was deleted {over:.0f} s ago, and pod {', '.join(users) or '?'} still mounts it",
            place(item),
            f"delete the pods that mount it: `kubectl delete pod {' '.join(users)} -n {namespace}`",
            evidence=("finalizer kubernetes.io/pvc-protection",),
        )
    if kind == "pod" and over >= _NODE_PATIENCE and item.get("spec", {}).get("nodeName"):
        node = item["spec"]["nodeName"]
        return Cause(
            "pod-terminating",
            f"the pod should have ended {over:.0f} s ago, and node {node} does not say that it has",
            place(item),
            f"see the node: `kubectl describe node {node}`; where it is gone for good: "
            f"`kubectl delete pod {name} -n {namespace} --force --grace-period=0`",
        )
    return None


def _held_in(facts: Facts) -> list[str]:
    """Return what finalizers hold in the namespace; its controller says so a minute later."""
    kinds = ("Pod", "PersistentVolumeClaim", "Job", "Service", "Ingress", "ConfigMap")
    facts.want(*kinds)
    return [
        f"{kind.lower()} {found['metadata']['name']} has the finalizer {', '.join(names)}"
        for kind in kinds
        for found in facts.of(kind)
        if terminating(found)
        and (names := [n for n in found["metadata"].get("finalizers") or () if n not in _OWN])
    ]


def claims_of(pod: Object) -> list[str]:
    """Return the names of the PersistentVolumeClaims that a pod mounts."""
    named = [
        str(volume["persistentVolumeClaim"]["claimName"])
        for volume in pod.get("spec", {}).get("volumes") or ()
        if "persistentVolumeClaim" in volume
    ]
    made = [
        f"{pod['metadata']['name']}-{volume['name']}"
        for volume in pod.get("spec", {}).get("volumes") or ()
        if "ephemeral" in volume
    ]
    return named + made


def namespace(item: Object, facts: Facts) -> Answer:
    """Return what holds a namespace that is being deleted."""
    name = item["metadata"]["name"]
    if not terminating(item):
        return Answer("the namespace is there")
    words = []
    for kind in (
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionContentFailure",
        "NamespaceFinalizersRemaining",
        "NamespaceContentRemaining",
    ):
        state = condition(item, kind)
        if state.get("status") == "True":
            words.append(str(state.get("message", kind)))
    over = age(item["metadata"]["deletionTimestamp"], facts.now)
    words += _held_in(facts) if name == facts.namespace else []
    if not words and over < _NODE_PATIENCE:
        return Answer(f"namespace {name} is being deleted, for {over:.0f} s", starting=True)
    cause = Cause(
        "namespace-terminating",
        f"namespace {name} is being deleted, for {over:.0f} s: {words[0] if words else 'its content ends'}",
        f"namespace {name}",
        f"see what is left (`mlk8s why . -n {name}`), and remove the finalizers whose controllers are gone; "
        "nothing new can be made in it",
        evidence=tuple(words),
    )
    return Answer(cause.message, cause)
