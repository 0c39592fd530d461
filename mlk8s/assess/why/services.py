"""Why a Service has no pods behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, is_true, place
from mlk8s.assess.selectors import matches
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.pods import of_pods
from mlk8s.assess.why.reading import declared_in, is_over, labels_of
from mlk8s.assess.why.workloads import asleep, deployment


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
    rest = _asleep(selector, facts) if not pods else None
    if rest is not None:
        return rest
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


def _asleep(selector: dict[str, str], facts: Facts) -> Answer | None:
    """Return how the Deployment behind it is, where KEDA has scaled that to 0."""
    for found in facts.of("Deployment"):
        if matches({"matchLabels": selector}, _template(found)) and not found["spec"].get("replicas", 1):
            return asleep(found, facts)
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
                return Cause(
                    "scaled-to-zero",
                    f"Deployment {name} behind it has 0 replicas",
                    place(dict(found) | {"kind": "Deployment"}),
                    f"`kubectl scale deployment {name} --replicas=1`",
                )
        if deployments:  # its pods are refused: the Deployment knows why
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


def _template(item: Object) -> dict[str, str]:
    return dict(item["spec"]["template"].get("metadata", {}).get("labels") or {})
