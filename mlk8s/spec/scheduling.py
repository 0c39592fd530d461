"""Where pods may run, where they should, and who goes first when there is too little room."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import _LABEL_KEY, _LABEL_VALUE, Labels, Namespace
from mlk8s.spec.volume import ObjectName


def _label_key(value: str) -> str:
    if not _LABEL_KEY.fullmatch(value):
        raise ValueError("expected a label key, [prefix/]name, the name at most 63 characters")
    return value


def _own_class(value: str) -> str:
    if value.startswith("system-"):
        raise ValueError("expected a name that does not start with 'system-', which Kubernetes keeps")
    return value


LabelKey = Annotated[str, AfterValidator(_label_key)]
Preference = Annotated[int, Field(ge=1, le=100, strict=True)]
"""How much a preferred term counts among the others, 1 to 100."""


class Toleration(Spec):
    """Lets pods onto nodes with a taint; it does not lead them there.

    Attributes:
        key: of the taint; None tolerates every taint.
        operator: `Exists` takes any value, `Equal` only `value`.
        effect: None means each effect.
        seconds: how long a pod may stay after a `NoExecute` taint came; None means for ever.
    """

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: Annotated[int, Field(ge=0, le=7 * 86400, strict=True)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Toleration:
        if self.operator == "Equal" and (self.key is None or self.value is None):
            raise ValueError("operator 'Equal' compares one taint's value; expected key and value")
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"operator 'Exists' takes any value; expected no value, found {self.value!r}")
        if self.value is not None and not _LABEL_VALUE.fullmatch(self.value):
            raise ValueError(f"value {self.value!r}: expected at most 63 letters, digits, '-_.'")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds count for effect 'NoExecute' only; expected that effect, or no seconds")
        return self


class Expression(Spec):
    """One condition on a node's label.

    Attributes:
        key: of the label.
        operator: `In` and `NotIn` compare with `values`, `Gt` and `Lt` with one whole number.
    """

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "Exists"
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Expression:
        count = len(self.values)
        if self.operator in ("In", "NotIn") and not count:
            raise ValueError(f"operator {self.operator!r}: expected at least one value")
        if self.operator in ("Exists", "DoesNotExist") and count:
            raise ValueError(f"operator {self.operator!r} compares no value; expected none, found {count}")
        if self.operator in ("Gt", "Lt") and (count != 1 or not self.values[0].lstrip("-").isdigit()):
            raise ValueError(f"operator {self.operator!r}: expected one whole number, found {self.values!r}")
        for value in self.values:
            if not _LABEL_VALUE.fullmatch(value) and self.operator in ("In", "NotIn"):
                raise ValueError(f"value {value!r}: expected at most 63 letters, digits, '-_.'")
        return self


class NodeTerm(Spec):
    """Nodes for which every expression holds.

    Attributes:
        expressions: conditions, all of which must hold.
        weight: None requires it (of several required terms one must hold); 1 to 100 only prefers it.
    """

    expressions: Annotated[tuple[Expression, ...], Field(min_length=1)]
    weight: Preference | None = None


class PodTerm(Spec):
    """Places, by a topology label of nodes, where pods with some labels run.

    Attributes:
        labels: of those pods; empty means the workload's own pods of the same revision.
        topology: node label whose value is a place: one node, zone, rack.
        namespaces: where those pods are; empty means the workload's own.
        weight: None requires it; 1 to 100 only prefers it.
    """

    labels: Labels = {}
    topology: LabelKey = "kubernetes.io/hostname"
    namespaces: tuple[Namespace, ...] = ()
    weight: Preference | None = None


class Spread(Spec):
    """How evenly the workload's own pods lie over the places of a topology.

    Attributes:
        topology: node label whose value is a place.
        max_skew: by how many pods two places may differ.
        when_unsatisfiable: `DoNotSchedule` keeps a pod Pending, `ScheduleAnyway` only prefers.
        min_domains: places there must be, with `DoNotSchedule`; fewer count as empty ones.
    """

    topology: LabelKey = "kubernetes.io/hostname"
    max_skew: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = "ScheduleAnyway"
    min_domains: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None

    @model_validator(mode="after")
    def _domains_only_where_they_count(self) -> Spread:
        if self.min_domains is not None and self.when_unsatisfiable != "DoNotSchedule":
            raise ValueError("min_domains counts with when_unsatisfiable='DoNotSchedule' only")
        return self


class Scheduling(Spec):
    """Where the pods of one workload run; added to what its GPUs ask for.

    Attributes:
        node_selector: labels that a node must have.
        node_affinity, pod_affinity, pod_anti_affinity: required and preferred terms.
        tolerations: taints that do not keep the pods away.
        spread: None means softly over nodes and zones; an empty tuple means no spread.
        priority_class: name of a PriorityClass in the cluster.
        runtime_class: name of a RuntimeClass in the cluster.
    """

    node_selector: Labels = {}
    node_affinity: tuple[NodeTerm, ...] = ()
    pod_affinity: tuple[PodTerm, ...] = ()
    pod_anti_affinity: tuple[PodTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    spread: tuple[Spread, ...] | None = None
    priority_class: ObjectName | None = None
    runtime_class: ObjectName | None = None

    @model_validator(mode="after")
    def _one_spread_a_topology(self) -> Scheduling:
        places = [(item.topology, item.when_unsatisfiable) for item in self.spread or ()]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice:
            raise ValueError(f"spread names {twice[0]!r} with {twice[1]} twice; expected it once")
        return self


class PriorityClass(Spec):
    """Who goes first: a pod of a higher value is scheduled first and may take the place of a lower one.

    Attributes:
        name: of the PriorityClass, which belongs to the whole cluster.
        value: -2,147,483,648 to 1,000,000,000; what is higher belongs to Kubernetes itself.
        preemption: `Never` waits in front of the queue but ends no other pod.
        global_default: priority of every pod that names no class, in every namespace; only when asked for.
        description: for people.
    """

    name: Annotated[ObjectName, AfterValidator(_own_class)]
    value: Annotated[int, Field(ge=-(2**31), le=1_000_000_000, strict=True)]
    preemption: Literal["PreemptLowerPriority", "Never"] = "PreemptLowerPriority"
    global_default: bool = False
    description: Annotated[str, Field(max_length=1000)] = ""
    labels: Labels = {}
