"""Why an Ingress or HTTPRoute does not lead to pods: what a caller sees as 503, 404 or 502."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, age, place
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.policies import blocked
from mlk8s.assess.why.services import service

_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_OLD_CLASS = "kubernetes.io/ingress.class"
_PARENT_GRACE = 5.0  # seconds that a Gateway's controller may take to look at a route


def ingress(item: Object, facts: Facts) -> Answer:
    """Return why requests to an Ingress are answered 503 or 404."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    facts.want("IngressClass", "Service", "Pod", "Event", "EndpointSlice", "NetworkPolicy")
    cause = _class(item, facts) or _certificate(item, facts)
    if cause is not None:
        return Answer(cause.message, cause)
    return _all_backends(item, _backends(item), facts)


def http_route(item: Object, facts: Facts) -> Answer:
    """Return why requests to an HTTPRoute are answered 503 or 404."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    facts.want("Service", "Pod", "Event", "EndpointSlice", "NetworkPolicy")
    cause = _parents(item, facts)
    if cause is not None:
        return Answer(cause.message, cause)
    backends = (
        ({"name": ref["name"], "port": {"number": ref.get("port")}}, _matched(rule))
        for rule in item["spec"].get("rules") or ()
        for ref in rule.get("backendRefs") or ()
        if ref.get("kind", "Service") == "Service" and ref.get("weight", 1) > 0
    )
    return _all_backends(item, backends, facts)


def _parents(item: Object, facts: Facts) -> Cause | None:
    """Return why no Gateway serves a route; a backend that is wrong is told with more words elsewhere."""
    refs = item["spec"].get("parentRefs") or ()
    wanted = ", ".join(f"{ref.get('namespace', facts.namespace)}/{ref['name']}" for ref in refs) or "none"
    parents = item.get("status", {}).get("parents") or []
    if not parents and age(item["metadata"].get("creationTimestamp"), facts.now) >= _PARENT_GRACE:
        words, remedy = f"no Gateway has taken it; it asks for {wanted}", "correct spec.parentRefs"
        return Cause("route-refused", words, place(item), f"{remedy}: `kubectl get gateways -A`")
    states = [state for parent in parents for state in parent.get("conditions") or ()]
    for state in states:
        if state["type"] == "Accepted" and state["status"] != "True":
            return Cause(
                "route-refused",
                f"Gateway {wanted} does not accept it: {state.get('message')} ({state.get('reason')})",
                place(item),
                "correct parentRefs or hostnames, or the listener's allowedRoutes: `kubectl get gateways -A`",
            )
    return None


def _matched(rule: Object) -> str:
    match = (rule.get("matches") or [{}])[0]
    return str((match.get("path") or {}).get("value", "/"))


def _all_backends(item: Object, backends: Iterable[tuple[Object, str]], facts: Facts) -> Answer:
    answers = []
    for backend, path in backends:
        answer = _backend(item, backend, path, facts)
        if answer.cause is not None or answer.starting:
            return answer
        answers.append(answer.summary)
    return Answer("; ".join(dict.fromkeys(answers)) or "it has no rules")


def _backend(item: Object, backend: Object, path: str, facts: Facts) -> Answer:
    name, port = backend["name"], backend.get("port") or {}
    found = facts.one("Service", name)
    if found is None:
        there = ", ".join(s["metadata"]["name"] for s in facts.of("Service")) or "none"
        return _answer(
            "service-missing",
            f"{path} leads to Service {name}, which is not there (there is: {there})",
            item,
            f"create Service {name}, or correct the backend's name in spec.rules",
        )
    ports = found["spec"].get("ports") or []
    wanted = port.get("number") or port.get("name")
    chosen = next((p for p in ports if wanted in (p.get("port"), p.get("name"))), None)
    if chosen is None:
        shown = ", ".join(f"{p.get('name', '')} {p['port']}".strip() for p in ports) or "none"
        return _answer(
            "service-port",
            f"{path} leads to port {wanted} of Service {name}, which has: {shown}",
            item,
            f"correct the backend's port in spec.rules, or add port {wanted} to Service {name}",
        )
    answer = service(found, facts)
    if answer.cause is not None:
        message = f"{path} leads to Service {name}: {answer.cause.message}"
        return Answer(message, replace(answer.cause, message=message))
    shut = blocked(found, chosen, facts)
    if shut is not None:
        return Answer(shut.message, shut)
    return Answer(f"{path} leads to Service {name}: {answer.summary}", starting=answer.starting)


def _class(item: Object, facts: Facts) -> Cause | None:
    classes = facts.of("IngressClass")
    if facts.unseen("IngressClass"):
        return None
    names = [c["metadata"]["name"] for c in classes]
    wanted = item["spec"].get("ingressClassName") or (item["metadata"].get("annotations") or {}).get(
        _OLD_CLASS
    )
    listed = ", ".join(names) or "none"
    if wanted is None:
        default = [
            c for c in classes if (c["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
        ]
        if default:
            return None
        choice = names[0] if len(names) == 1 else "NAME"
        return Cause(
            "no-ingress-class",
            f"it names no class and the cluster has no default (classes: {listed}): no controller serves it",
            place(item),
            f"set spec.ingressClassName: {choice}",
        )
    if wanted not in names:
        choice = f"{names[0]}, the only class here" if len(names) == 1 else f"one of {listed}"
        return Cause(
            "ingress-class-missing",
            f"its class {wanted!r} is not there (classes: {listed}), so no controller serves it",
            place(item),
            f"set spec.ingressClassName to {choice}",
        )
    return None


def _certificate(item: Object, facts: Facts) -> Cause | None:
    for entry in item["spec"].get("tls") or ():
        name = entry.get("secretName")
        if not name or facts.unseen(f"one:Secret/{name}"):
            continue
        found = next(iter(facts.of(f"one:Secret/{name}")), None)
        command = f"`kubectl create secret tls {name} -n {facts.namespace} --cert=FILE --key=FILE`"
        if found is None:
            return Cause("tls-secret", f"its TLS Secret {name} is not there", place(item), command)
        lacking = [key for key in ("tls.crt", "tls.key") if key not in (found.get("data") or {})]
        if lacking:
            words = f"its TLS Secret {name} lacks {' and '.join(lacking)}"
            return Cause("tls-secret", words, place(item), f"delete it and make it anew: {command}")
    return None


def _backends(item: Object) -> Iterator[tuple[Object, str]]:
    spec = item["spec"]
    default = (spec.get("defaultBackend") or {}).get("service")
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            if "service" in path["backend"]:
                yield path["backend"]["service"], f"{rule.get('host', '')}{path.get('path', '/')}"
    if default:
        yield default, "the default backend"


def _answer(key: str, message: str, item: Object, remedy: str) -> Answer:
    return Answer(message, Cause(key, message, place(item), remedy))
