"""Where a workload's pods may run, as fields of its pod: GPUs, affinity, tolerations, spread, priority."""

from __future__ import annotations

from collections.abc import Mapping

from mlk8s.render.common import NAME, Manifest, manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.resources import Gpu
from mlk8s.spec.scheduling import NodeTerm, PodTerm, PriorityClass, Scheduling, Spread, Toleration

_SOFT_SPREAD = (Spread(), Spread(topology="topology.kubernetes.io/zone"))


def scheduling(
    wanted: Scheduling,
    selector: Mapping[str, str],
    *,
    gpu: Gpu | None = None,
    revision: str | None = None,
    soft_spread: bool = True,
) -> Manifest:
    """Return the fields of the pod's spec that decide where it runs.

    Args:
        wanted: what the spec declares.
        selector: labels of the workload's own pods.
        gpu: its node selector and toleration are added.
        revision: label that the controller sets to a pod's revision, so that old and new pods of a rollout
            do not keep each other out: pod-template-hash for Deployments.
        soft_spread: spread softly over nodes and zones where the spec says nothing.
    """
    fields: Manifest = {}
    selected = {**(gpu.node_selector if gpu else {}), **wanted.node_selector}
    if selected:
        fields["nodeSelector"] = selected
    tolerations = [toleration(item) for item in wanted.tolerations]
    if gpu is not None and gpu.tolerate:
        tolerations.insert(0, {"key": gpu.resource, "operator": "Exists", "effect": "NoSchedule"})
    if tolerations:
        fields["tolerations"] = tolerations
    own: Manifest = {"labelSelector": {"matchLabels": dict(selector)}}
    if revision is not None:
        own["matchLabelKeys"] = [revision]
    affinity = _affinity(wanted, own)
    if affinity:
        fields["affinity"] = affinity
    spread = wanted.spread if wanted.spread is not None else _SOFT_SPREAD if soft_spread else ()
    if spread:
        fields["topologySpreadConstraints"] = [_spread(item, own) for item in spread]
    if wanted.priority_class is not None:
        fields["priorityClassName"] = wanted.priority_class
    if wanted.runtime_class is not None:
        fields["runtimeClassName"] = wanted.runtime_class
    return fields


def render_priority_class(spec: PriorityClass, facts: RenderFacts) -> list[Manifest]:  # noqa: ARG001
    """Return the PriorityClass; it belongs to no namespace."""
    fields: Manifest = {"value": spec.value, "preemptionPolicy": spec.preemption}
    if spec.global_default:
        fields["globalDefault"] = True
    if spec.description:
        fields["description"] = spec.description
    labels = {**spec.labels, NAME: spec.name}
    return [manifest("scheduling.k8s.io/v1", "PriorityClass", spec.name, None, labels, **fields)]


def toleration(spec: Toleration) -> Manifest:
    """Return one toleration without the fields that are not given."""
    fields = {
        "key": spec.key, "operator": spec.operator, "value": spec.value, "effect": spec.effect,
        "tolerationSeconds": spec.seconds,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


def _affinity(wanted: Scheduling, own: Manifest) -> Manifest:
    """Return nodeAffinity, podAffinity and podAntiAffinity, each only where there are terms."""
    made = {
        "nodeAffinity": _nodes(wanted.node_affinity),
        "podAffinity": _pods(wanted.pod_affinity, own),
        "podAntiAffinity": _pods(wanted.pod_anti_affinity, own),
    }
    return {name: value for name, value in made.items() if value}


def _nodes(terms: tuple[NodeTerm, ...]) -> Manifest:
    found: Manifest = {}
    required = [_node_term(term) for term in terms if term.weight is None]
    if required:
        found["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
    preferred = [
        {"weight": term.weight, "preference": _node_term(term)} for term in terms if term.weight is not None
    ]
    if preferred:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return found


def _node_term(term: NodeTerm) -> Manifest:
    expressions = []
    for item in term.expressions:
        expression: Manifest = {"key": item.key, "operator": item.operator}
        if item.values:
            expression["values"] = list(item.values)
        expressions.append(expression)
    return {"matchExpressions": expressions}


def _pods(terms: tuple[PodTerm, ...], own: Manifest) -> Manifest:
    found: Manifest = {}
    required = [_pod_term(term, own) for term in terms if term.weight is None]
    if required:
        found["requiredDuringSchedulingIgnoredDuringExecution"] = required
    preferred = [
        {"weight": term.weight, "podAffinityTerm": _pod_term(term, own)}
        for term in terms
        if term.weight is not None
    ]
    if preferred:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return found


def _pod_term(term: PodTerm, own: Manifest) -> Manifest:
    which = {"labelSelector": {"matchLabels": dict(term.labels)}} if term.labels else own
    fields: Manifest = {"topologyKey": term.topology, **which}
    if term.namespaces:
        fields["namespaces"] = list(term.namespaces)
    return fields


def _spread(spec: Spread, own: Manifest) -> Manifest:
    fields: Manifest = {
        "maxSkew": spec.max_skew,
        "topologyKey": spec.topology,
        "whenUnsatisfiable": spec.when_unsatisfiable,
        **own,
    }
    if spec.min_domains is not None:
        fields["minDomains"] = spec.min_domains
    return fields
