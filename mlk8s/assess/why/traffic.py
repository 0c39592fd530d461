"""Why a Service or an Ingress does not lead to pods: what a caller sees as 503, 404 or 502."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, is_true, place
from mlk8s.assess.selectors import matches
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.pods import of_pods
from mlk8s.assess.why.policies import blocked
from mlk8s.assess.why.reading import declared_in, is_over, labels_of

_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_OLD_CLASS = "kubernetes.io/ingress.class"


def service(item: Object, facts: Facts) -> Answer:
    """Return why a Service has nothing behind it."""
    facts.want("Pod", "Event", "EndpointSlice")
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    spec, name = item["spec"], item["metadata"]["name"]
    if spec.get("type") == "ExternalName":
        return Answer(f"it is another name of {spec.get('externalName')}")
    selector = spec.get("selector") or {}
    slices = [s for s in facts.of("EndpointSlice") if labels_of(s).get("kubernetes.io/service-name") == name]
    ready = sum(
        (e.get("conditions") or {}).get("ready") is not False
        for s in slices
        for e in s.get("endpoints") or ()
    )
    if not selector:
        return Answer(f"{ready} endpoints that somebody else keeps")
    pods = [p for p in facts.of("Pod") if matches({"matchLabels": selector}, labels_of(p)) and not is_over(p)]
    cause = _selected(item, selector, pods, facts) or _target_port(item, pods)
    if cause is not None:
        return Answer(cause.message, cause)
    if not any(is_true(p, "Ready") for p in pods):
        inner = of_pods(pods, facts)
        if inner is not None:
            message = f"none of its {len(pods)} pods is ready: {inner.message}"
            return Answer(message, replace(inner, message=message))
        return Answer(f"0 of {len(pods)} pods ready", starting=True)
    if spec.get("type") == "LoadBalancer" and not item.get("status", {}).get("loadBalancer", {}).get(
        "ingress"
    ):
        cause = Cause(
            "load-balancer",
            "it has no external address: nothing in this cluster gives addresses to LoadBalancer Services",
            place(item),
            "use an Ingress, or install a controller that gives addresses (a cloud's, MetalLB)",
        )
        return Answer(cause.message, cause)
    return Answer(f"{ready} of {len(pods)} pods behind it are ready")


def ingress(item: Object, facts: Facts) -> Answer:
    """Return why requests to an Ingress are answered 503 or 404."""
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    facts.want("IngressClass", "Service", "Pod", "Event", "EndpointSlice", "NetworkPolicy")
    cause = _class(item, facts) or _certificate(item, facts)
    if cause is not None:
        return Answer(cause.message, cause)
    answers = []
    for backend, path in _backends(item):
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
            f"create Service {name}, or correct spec.rules[].http.paths[].backend.service.name",
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
            f"correct backend.service.port of the Ingress, or add port {wanted} to Service {name}",
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


def _selected(item: Object, selector: dict[str, str], pods: Sequence[Object], facts: Facts) -> Cause | None:
    if pods:
        return None
    shown = ",".join(f"{k}={v}" for k, v in sorted(selector.items()))
    near = _nearest(selector, facts)
    if near is None:
        deployments = [d for d in facts.of("Deployment") if matches({"matchLabels": selector}, _template(d))]
        for found in deployments:
            if int(found["spec"].get("replicas", 1)) == 0:
                name = found["metadata"]["name"]
                return Cause("scaled-to-zero", f"Deployment {name} behind it has 0 replicas", place(item),
                             f"`kubectl scale deployment {name} --replicas=1`")  # fmt: skip
        if deployments:  # its pods are refused: the Deployment knows why
            from mlk8s.assess.why.workloads import deployment

            inner = deployment(deployments[0], facts).cause
            if inner is not None:
                return replace(inner, message=f"it has no pods: {inner.message}")
        words, remedy = "", "correct spec.selector, or start the pods: `kubectl get pods --show-labels`"
    else:
        name, key, value = near
        has = f"has {key}={value}" if value is not None else f"has no label {key}"
        words = f"; the nearest, pod {name}, {has}"
        remedy = (
            f"set spec.selector to the pods' labels ({key}={value})" if value else "correct spec.selector"
        )
    return Cause("selector-mismatch", f"its selector {shown} matches no pod{words}", place(item), remedy,
                 evidence=(f"selector: {shown}",))  # fmt: skip


def _nearest(selector: dict[str, str], facts: Facts) -> tuple[str, str, str | None] | None:
    """Return the pod that lacks fewest of the labels, with one that it lacks: (pod, label, its value)."""
    best: tuple[int, str, str, str | None] | None = None
    for pod in facts.of("Pod"):
        labels = labels_of(pod)
        wrong = [key for key, value in selector.items() if labels.get(key) != value]
        known = sum(key in labels for key in selector)
        if wrong and known and not is_over(pod) and (best is None or len(wrong) < best[0]):
            best = (len(wrong), pod["metadata"]["name"], wrong[0], labels.get(wrong[0]))
    return best[1:] if best else None


def _target_port(item: Object, pods: Sequence[Object]) -> Cause | None:
    """Return a port of the Service that the pods do not have; only named ones are certain."""
    name = item["metadata"]["name"]
    for port in item["spec"].get("ports") or ():
        target = port.get("targetPort", port.get("port"))
        declared = [p for c in declared_in(pods) for p in c.get("ports") or ()]
        has = (
            {p.get("name") for p in declared}
            if isinstance(target, str)
            else {p["containerPort"] for p in declared}
        )
        if target in has or (isinstance(target, int) and not declared):
            continue
        shown = ", ".join(f"{p.get('name', '')} {p['containerPort']}".strip() for p in declared) or "none"
        return Cause(
            "target-port",
            f"port {port['port']} of Service {name} leads to the pods' port {target}; they declare: {shown}",
            place(item),
            f"set targetPort of Service {name} to a port that the container listens on",
            certain=isinstance(target, str),
        )
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


def _template(item: Object) -> dict[str, str]:
    return dict(item["spec"]["template"].get("metadata", {}).get("labels") or {})


def _answer(key: str, message: str, item: Object, remedy: str) -> Answer:
    return Answer(message, Cause(key, message, place(item), remedy))
