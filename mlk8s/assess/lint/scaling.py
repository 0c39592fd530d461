"""Autoscalers and disruption budgets: that they have room, and do not fight."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import SERVING, Bundle, Obj, Pod, entries, mapping, number, text
from mlk8s.assess.lint.targets import autoscaled, scaler_of, targets

Found = Iterator[tuple[Keys, str]]
Across = Iterator[tuple[Obj, Keys, str]]


@rule(
    "hpa-minimum", "warning", "object",
    "An autoscaler keeps two pods or more.",
    fix="set minReplicas: 2",
    peers="kube-linter hpa-minimum-three-replicas; kube-score horizontalpodautoscaler-replicas; Polaris hpaMinAvailability",
)  # fmt: skip
def _minimum(obj: Obj) -> Found:
    if obj.kind == "HorizontalPodAutoscaler":
        least = number(obj.spec, "minReplicas")
        if (1 if least is None else least) < 2:
            yield ("spec", "minReplicas"), "it may go down to one pod: each drain or crash is then an outage"


@rule(
    "hpa-range", "error", "object",
    "An autoscaler has room to scale.",
    fix="set maxReplicas above minReplicas",
    peers="Polaris hpaMaxAvailability",
)  # fmt: skip
def _range(obj: Obj) -> Found:
    if obj.kind == "HorizontalPodAutoscaler":
        least, most = number(obj.spec, "minReplicas") or 1, number(obj.spec, "maxReplicas")
        if most is not None and most <= least:
            yield (
                ("spec", "maxReplicas"),
                f"maxReplicas {most} is not above minReplicas {least}: it never scales",
            )


@rule(
    "dangling-autoscaler", "error", "set",
    "An autoscaler's target is there.",
    fix="correct the target's kind or name",
    peers="kube-linter dangling-horizontalpodautoscaler; kube-score horizontalpodautoscaler-has-target",
)  # fmt: skip
def _dangling(bundle: Bundle) -> Across:
    for obj, keys, kind, name, target in targets(bundle):
        if target is None and bundle.knows(obj.namespace, *SERVING):
            yield obj, (*keys, "name"), f"there is no {kind} {name} for it to scale"


@rule(
    "fixed-replicas", "error", "set",
    "What an autoscaler scales has no fixed number of replicas: each apply would set it back.",
    fix="remove spec.replicas from the workload",
    peers="kube-score deployment-targeted-by-hpa-does-not-have-replicas-configured",
)  # fmt: skip
def _fixed(bundle: Bundle) -> Across:
    for obj, _, _, _, target in targets(bundle):
        # Of a live object the number is the autoscaler's own.
        live = target is not None and "uid" in target.metadata
        if (
            target is not None
            and not live
            and obj.kind != "VerticalPodAutoscaler"
            and "replicas" in target.spec
        ):
            yield (
                target,
                ("spec", "replicas"),
                f"{obj.title} scales it, and each apply sets it back to this number",
            )


@rule(
    "several-autoscalers", "error", "set",
    "One autoscaler sets a workload's number of pods, and none changes the resource that another one measures.",
    fix="put all metrics into one HorizontalPodAutoscaler or ScaledObject",
)  # fmt: skip
def _several(bundle: Bundle) -> Across:
    scalers = scaler_of(bundle)
    for found in scalers.values():
        for obj in found[1:]:
            yield (
                obj,
                ("spec", "scaleTargetRef"),
                f"{found[0].title} scales the same workload: they undo each other",
            )
    for obj, keys, _, _, target in targets(bundle):
        if (
            obj.kind != "VerticalPodAutoscaler"
            or target is None
            or text(obj.spec, "updatePolicy", "updateMode") == "Off"
        ):
            continue
        for other in scalers.get(id(target), ()):
            for name in _measured(other):
                yield obj, keys, f"it changes the {name} request by which {other.title} scales"


def _measured(obj: Obj) -> list[str]:
    """Return the resources whose utilization an autoscaler follows."""
    of_pod = [text(item, "resource", "name") for _, item in entries(obj.spec, "metrics")]
    of_container = [text(item, "containerResource", "name") for _, item in entries(obj.spec, "metrics")]
    triggers = [text(item, "type") for _, item in entries(obj.spec, "triggers")]
    return [name for name in (*of_pod, *of_container, *triggers) if name in ("cpu", "memory")]


@rule(
    "hpa-needs-requests", "error", "set",
    "What is scaled by utilization has a request of that resource: utilization is its share of it.",
    fix="set the request on every container, or use an AverageValue target",
)  # fmt: skip
def _requests(bundle: Bundle) -> Across:
    for obj, _, _, _, target in targets(bundle):
        if obj.kind != "HorizontalPodAutoscaler" or target is None or target.pod is None:
            continue
        for i, item in entries(obj.spec, "metrics"):
            name = text(item, "resource", "name")
            if text(item, "resource", "target", "type") != "Utilization":
                continue
            for container in target.pod.main:
                resources = mapping(container.body, "resources")
                if name not in mapping(resources, "requests") and name not in mapping(resources, "limits"):
                    keys = ("spec", "metrics", i, "resource", "name")
                    yield (
                        obj,
                        keys,
                        f"container {container.name} of {target.title} has no {name} request: it shows <unknown>",
                    )


@rule(
    "disruption-budget", "warning", "set",
    "What has several pods has a PodDisruptionBudget: a drain must not take them all at once.",
    fix="add a PodDisruptionBudget with maxUnavailable: 1 that selects the pods",
    peers="kube-score deployment-has-poddisruptionbudget, statefulset-has-poddisruptionbudget; Polaris missingPodDisruptionBudget",
)  # fmt: skip
def _budget(bundle: Bundle) -> Across:
    held = {id(pod) for pdb in bundle.kinds("PodDisruptionBudget") for pod in _held(bundle, pdb)}
    scaled = autoscaled(bundle)
    for obj in bundle.kinds(*SERVING):
        several = (number(obj.spec, "replicas") or 1) > 1 or id(obj) in scaled
        if several and id(obj.pod) not in held:
            yield obj, (), "a drain may take all its pods at once: no PodDisruptionBudget selects them"


def _held(bundle: Bundle, pdb: Obj) -> list[Pod]:
    return bundle.selected(pdb.namespace, mapping(pdb.spec, "selector"))


@rule(
    "blocking-budget", "error", "set",
    "A PodDisruptionBudget lets one pod go, whatever the autoscaler's number: else no node can be drained.",
    fix="set maxUnavailable: 1 instead of minAvailable",
    peers="kube-linter pdb-max-unavailable, pdb-min-available; Polaris pdbMinAvailableGreaterThanHPAMinReplicas",
)  # fmt: skip
def _blocking(bundle: Bundle) -> Across:
    scalers = scaler_of(bundle)
    for pdb in bundle.kinds("PodDisruptionBudget"):
        most, least = pdb.spec.get("maxUnavailable"), pdb.spec.get("minAvailable")
        if most in (0, "0%", "0"):
            yield pdb, ("spec", "maxUnavailable"), "no pod may go: every drain waits for ever"
        if least == "100%":
            yield pdb, ("spec", "minAvailable"), "no pod may go: every drain waits for ever"
        if least is None or least == "100%":
            continue
        for pod in bundle.selected(pdb.namespace, mapping(pdb.spec, "selector")):
            count, source = _pods_at_least(pod.obj, scalers.get(id(pod.obj), []))
            needed = _needed(least, count)
            if needed is not None and count <= needed:
                yield pdb, ("spec", "minAvailable"), f"minAvailable {least} and {source}: no pod may go"


def _needed(least: object, count: int) -> int | None:
    if isinstance(least, int):
        return least
    share = str(least).removesuffix("%")
    return ceil(count * int(share) / 100) if share.isdigit() else None


def _pods_at_least(obj: Obj, scalers: list[Obj]) -> tuple[int, str]:
    if scalers:
        field = "minReplicas" if scalers[0].kind == "HorizontalPodAutoscaler" else "minReplicaCount"
        least = number(scalers[0].spec, field)
        least = 1 if least is None else least
        return least, f"{scalers[0].title} may go down to {least} pods"
    count = number(obj.spec, "replicas")
    count = 1 if count is None else count
    return count, f"{obj.title} has {count} pods"


@rule(
    "unhealthy-eviction", "warning", "object",
    "A PodDisruptionBudget lets pods go that are broken anyway: else one crash loop blocks a drain.",
    fix="set unhealthyPodEvictionPolicy: AlwaysAllow",
    peers="kube-linter pdb-unhealthy-pod-eviction-policy",
)  # fmt: skip
def _unhealthy(obj: Obj) -> Found:
    if obj.kind == "PodDisruptionBudget" and obj.spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield ("spec", "unhealthyPodEvictionPolicy"), "a pod that never becomes ready blocks every drain"


@rule(
    "several-budgets", "error", "set",
    "One PodDisruptionBudget selects a pod: with two, Kubernetes refuses every eviction.",
    fix="remove one of them, or make their selectors disjoint",
)  # fmt: skip
def _budgets(bundle: Bundle) -> Across:
    first: dict[int, Obj] = {}
    for pdb in bundle.kinds("PodDisruptionBudget"):
        for pod in _held(bundle, pdb):
            other = first.setdefault(id(pod), pdb)
            if other is not pdb:
                yield (
                    pdb,
                    ("spec", "selector"),
                    f"{other.title} selects the same pods: no eviction is allowed",
                )
                break
