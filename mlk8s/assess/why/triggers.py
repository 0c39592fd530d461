"""Why KEDA does not scale by a ScaledObject: it is paused, not accepted, or what its triggers ask fails."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from mlk8s.assess.cause import Cause, short
from mlk8s.assess.observed import Object, age, condition, events_of, is_true, place
from mlk8s.assess.why.facts import Facts
from mlk8s.assess.why.reading import shown

_PAUSED = "autoscaling.keda.sh/paused"
_FIRST = 30.0  # seconds in which a running operator has looked at a new object, and a new pod has a metric
_UNREACHABLE = ("no such host", "connection refused", "i/o timeout", "deadline exceeded", "no route to host")


def owner_of(hpa: Object, facts: Facts) -> Object | None:
    """Return the ScaledObject that KEDA made an HPA of; None where it is not KEDA's."""
    owners = hpa["metadata"].get("ownerReferences") or ()
    names = [owner["name"] for owner in owners if owner.get("kind") == "ScaledObject"]
    found = facts.one("ScaledObject", names[0]) if names else None
    return dict(found) | {"kind": "ScaledObject"} if found is not None else None


def sleeping(workload: Object, facts: Facts) -> Object | None:
    """Return the ScaledObject that lets a workload of 0 replicas sleep until a trigger wakes it."""
    kind, name = workload.get("kind", "Deployment"), workload["metadata"]["name"]
    for item in facts.of("ScaledObject"):
        target = item["spec"]["scaleTargetRef"]
        if (target.get("kind", "Deployment"), target["name"]) == (kind, name):
            return dict(item) | {"kind": "ScaledObject"} if not item["spec"].get("minReplicaCount") else None
    return None


def triggers_cause(item: Object, target: Object | None, facts: Facts) -> Cause | None:
    """Return why KEDA does not scale by a ScaledObject; None where nothing speaks against it.

    Args:
        target: what it scales; None where that is not there, or of a kind that is not looked up.
    """
    if is_true(item, "Paused") or _is_paused(item):
        return _paused(item)
    ready = condition(item, "Ready")
    if not ready:
        if age(item["metadata"].get("creationTimestamp"), facts.now) < _FIRST:
            return None
        words = "KEDA's operator has not looked at it: it does not run, or does not watch this namespace"
        return _cause("keda-absent", words, item, "see its pods: `kubectl get pods -A | grep keda-operator`")
    words = str(ready.get("message", ""))
    if ready.get("status") == "False" and ready.get("reason") == "TriggerError":
        return _trigger(item, ready, facts)
    if ready.get("status") == "False":
        if "scaleTargetRef" in words:
            return _cause("keda-no-target", f"what it scales is not there: {_after(words)}", item,
                          "correct spec.scaleTargetRef, or create what it names", ready)  # fmt: skip
        remedy = "correct what the words name; https://keda.sh/docs lists each trigger's fields"
        return _cause("keda-refused", f"KEDA does not accept it: {short(_after(words))}", item, remedy, ready)
    return _without_values(item, target, facts)


def asked_in_vain(item: Object, facts: Facts) -> list[str]:
    """Return the triggers' PromQL that has no value now, where every trigger's has none; else nothing.

    Only what asks the cluster's own Prometheus is seen; where one trigger asks something else there is no
    telling.
    """
    triggers = item["spec"].get("triggers") or ()
    asked = [query for trigger in triggers if (query := _query(trigger, facts)) is not None]
    if not asked or len(asked) < len(triggers):
        return []
    facts.want(*(f"promql:{query}" for query in asked))
    answers = [facts.found[f"promql:{query}"] for query in asked]
    return asked if all(answer == [] for answer in answers) else []


def _without_values(item: Object, target: Object | None, facts: Facts) -> Cause | None:
    # Without a pod no series is the usual state: nobody asks. With pods the trigger asks for the wrong thing.
    if target is None or not int((target.get("status") or {}).get("readyReplicas") or 0):
        return None
    if age(target["metadata"].get("creationTimestamp"), facts.now) < _FIRST:
        return None
    asked = asked_in_vain(item, facts)
    if not asked:
        return None
    return _no_value(item, asked, "and KEDA takes that for 0")


def _no_value(item: Object, asked: Sequence[str], then: str) -> Cause:
    which = f"its trigger's query {asked[0]}" if len(asked) == 1 else "a query of its triggers"
    return Cause(
        "keda-no-value",
        f"{which} has no value in Prometheus, {then}",
        place(item),
        "correct the query's series and labels until Prometheus answers with one number; a pod has series "
        "only where it is scraped",
        evidence=tuple(f"no value: {query}" for query in asked),
    )


def _trigger(item: Object, ready: Object, facts: Facts) -> Cause:
    """Return which trigger fails: by its last event, and by what Prometheus says of its query."""
    told = [e for e in events_of(item, facts.events) if e.get("reason") == "KEDAScalerFailed"]
    words = str(told[-1].get("message", "")) if told else str(ready.get("message", ""))
    asked = [q for trigger in item["spec"].get("triggers") or () if (q := _query(trigger, facts)) is not None]
    if any(part in words for part in _UNREACHABLE):
        address = urlsplit(words.partition('"')[2].partition('"')[0])
        where = f"{address.scheme}://{address.netloc}" if address.netloc else "what a trigger asks"
        message = f"KEDA cannot reach {where}: {short(words.rpartition(': dial ')[2])}"
        remedy = "correct the trigger's address, and let NetworkPolicies admit KEDA's operator"
        return _cause("keda-unreachable", message, item, remedy, ready)
    if "the result is empty" in words:
        return _no_value(item, asked, "and its ignoreNullValues is false")
    facts.want(*(f"promql:{query}" for query in asked))
    for query in asked:
        said = facts.unseen(f"promql:{query}")
        if said is not None and "status: 400" in words:
            return _cause("keda-query", f"Prometheus refuses its trigger's query {query}: {said}", item,
                          "correct the trigger's metadata.query", ready)  # fmt: skip
    if "status: 400" in words:
        return _cause("keda-query", f"what a trigger asks refuses its query: {words}", item,
                      "correct the trigger's metadata.query", ready)  # fmt: skip
    remedy = "the words name what was asked; see the trigger's metadata and authentication"
    return _cause("keda-trigger", f"a trigger fails: {short(words)}", item, remedy, ready)


def _query(trigger: Object, facts: Facts) -> str | None:
    """Return a trigger's PromQL; None where it asks something else than the cluster's own Prometheus."""
    fields = trigger.get("metadata") or {}
    host = urlsplit(str(fields.get("serverAddress", ""))).hostname or ""
    if trigger.get("type") != "prometheus" or facts.prometheus_service is None:
        return None
    namespace, _, service = facts.prometheus_service.partition(":")[0].partition("/")
    return str(fields.get("query")) if f"{host}.".startswith(f"{service}.{namespace}.") else None


def _is_paused(item: Object) -> bool:
    annotations = item["metadata"].get("annotations") or {}
    return annotations.get(_PAUSED) == "true" or f"{_PAUSED}-replicas" in annotations


def _paused(item: Object) -> Cause:
    annotations = item["metadata"].get("annotations") or {}
    name = f"{_PAUSED}-replicas" if f"{_PAUSED}-replicas" in annotations else _PAUSED
    at = f" at {annotations[name]} replicas" if name.endswith("replicas") else ""
    words = f"it is paused{at} by its annotation {name}: nothing is scaled"
    whose = f"{item['metadata']['name']} -n {item['metadata']['namespace']}"
    remedy = f"`kubectl annotate scaledobject {whose} {name}-`"
    return _cause("keda-paused", words, item, remedy, condition(item, "Paused"))


def _after(words: str) -> str:
    """Return KEDA's words without what it says before every one."""
    for start in ("correct scaleTargetRef specification: ", "correctly created for ScaledObject: "):
        words = words.rpartition(start)[2]
    return words


def _cause(key: str, message: str, item: Object, remedy: str, state: Object | None = None) -> Cause:
    return Cause(key, message, place(item), remedy, evidence=shown(state or {}))
