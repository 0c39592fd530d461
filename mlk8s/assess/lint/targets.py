"""Which workloads are scaled and which are served, asked by several rules."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys
from mlk8s.assess.lint.objects import Bundle, Obj, Pod, mapping, text

AUTOSCALERS: dict[str, Keys] = {
    "HorizontalPodAutoscaler": ("spec", "scaleTargetRef"),
    "ScaledObject": ("spec", "scaleTargetRef"),
    "VerticalPodAutoscaler": ("spec", "targetRef"),
}


def targets(bundle: Bundle) -> Iterator[tuple[Obj, Keys, str, str, Obj | None]]:
    """Yield each autoscaler with the path of its target, the target's kind and name, and the target itself."""
    for kind, keys in AUTOSCALERS.items():
        for obj in bundle.kinds(kind):
            reference = mapping(obj.body, *keys)
            target = text(reference, "kind") or "Deployment"  # KEDA's default
            name = text(reference, "name")
            yield obj, keys, target, name, bundle.find(target, obj.namespace, name)


def scaler_of(bundle: Bundle) -> dict[int, list[Obj]]:
    """Return the autoscalers that set a workload's number of pods, by the id() of the workload."""
    found: dict[int, list[Obj]] = {}
    for obj, _, _, _, target in targets(bundle):
        if target is not None and obj.kind != "VerticalPodAutoscaler":
            found.setdefault(id(target), []).append(obj)
    return found


def autoscaled(bundle: Bundle) -> set[int]:
    """Return the id() of every workload whose number of pods something else sets."""
    return set(scaler_of(bundle))


def served_by(bundle: Bundle, service: Obj) -> list[Pod]:
    """Return the pods that a Service leads to; none without a selector."""
    selector = mapping(service.spec, "selector")
    return bundle.selected(service.namespace, {"matchLabels": selector}) if selector else []


def exposed(bundle: Bundle) -> set[int]:
    """Return the id() of every workload that a Service leads to."""
    return {id(pod.obj) for service in bundle.kinds("Service") for pod in served_by(bundle, service)}
