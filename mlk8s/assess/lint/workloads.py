"""Who makes the pods, how many there are, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import SERVING, Bundle, Obj, at, entries, mapping, number, text
from mlk8s.assess.lint.targets import autoscaled, exposed

Found = Iterator[tuple[Keys, str]]
Across = Iterator[tuple[Obj, Keys, str]]


@rule(
    "bare-pod", "error", "object",
    "Something owns every pod, and makes it anew when its node dies.",
    fix="make it a Deployment, a StatefulSet or a Job",
    peers="Polaris missingController",
)  # fmt: skip
def _bare_pod(obj: Obj) -> Found:
    if obj.kind == "Pod" and not obj.owned:
        yield ("kind",), "a bare pod stays away when its node dies or is drained"


@rule(
    "bare-replica-set", "error", "object",
    "No ReplicaSet stands alone: only a Deployment can roll one out and back.",
    fix="make it a Deployment",
)  # fmt: skip
def _bare_set(obj: Obj) -> Found:
    if obj.kind in ("ReplicaSet", "ReplicationController") and not obj.owned:
        yield ("kind",), f"a bare {obj.kind} cannot be rolled out, nor back"


_REMOVED = {
    "extensions/v1beta1": "apps/v1, networking.k8s.io/v1",
    "apps/v1beta1": "apps/v1", "apps/v1beta2": "apps/v1",
    "batch/v1beta1": "batch/v1", "batch/v2alpha1": "batch/v1",
    "policy/v1beta1": "policy/v1",
    "autoscaling/v2beta1": "autoscaling/v2", "autoscaling/v2beta2": "autoscaling/v2",
    "networking.k8s.io/v1beta1": "networking.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1": "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1alpha1": "rbac.authorization.k8s.io/v1",
    "apiextensions.k8s.io/v1beta1": "apiextensions.k8s.io/v1",
    "admissionregistration.k8s.io/v1beta1": "admissionregistration.k8s.io/v1",
    "apiregistration.k8s.io/v1beta1": "apiregistration.k8s.io/v1",
    "coordination.k8s.io/v1beta1": "coordination.k8s.io/v1",
    "scheduling.k8s.io/v1beta1": "scheduling.k8s.io/v1",
    "discovery.k8s.io/v1beta1": "discovery.k8s.io/v1",
    "storage.k8s.io/v1beta1": "storage.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1": "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta2": "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta3": "flowcontrol.apiserver.k8s.io/v1",
}  # fmt: skip
_BETA_STILL_SERVED = {("networking.k8s.io/v1beta1", "IPAddress"), ("networking.k8s.io/v1beta1", "ServiceCIDR"),
                      ("storage.k8s.io/v1beta1", "VolumeAttributesClass"),
                      ("coordination.k8s.io/v1beta1", "LeaseCandidate")}  # fmt: skip


@rule(
    "removed-api", "error", "object",
    "The apiVersion is one that Kubernetes still serves.",
    fix="write the apiVersion that took its place, and check the fields that changed",
    peers="kube-linter no-extensions-v1beta; kube-score stable-version",
)  # fmt: skip
def _removed(obj: Obj) -> Found:
    if obj.api_version in _REMOVED and (obj.api_version, obj.kind) not in _BETA_STILL_SERVED:
        yield ("apiVersion",), f"{obj.api_version} is no longer served; expected {_REMOVED[obj.api_version]}"


@rule(
    "selector-mismatch", "error", "object",
    "A workload's selector matches its own pods, and does not select every pod.",
    fix="make spec.selector.matchLabels a subset of the template's labels",
    peers="kube-linter mismatching-selector; kube-score deployment-pod-selector-labels-match-template-metadata-labels",
)  # fmt: skip
def _selector(obj: Obj) -> Found:
    if obj.pod is None or obj.kind not in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        return
    wanted = mapping(obj.spec, "selector", "matchLabels")
    if not wanted and not entries(obj.spec, "selector", "matchExpressions"):
        yield ("spec", "selector"), "it has no selector: the API server refuses it"
    for key, value in wanted.items():
        if obj.pod.labels.get(key) != value:
            yield ("spec", "selector", "matchLabels", key), f"its pods do not have the label {key}={value}"


@rule(
    "minimum-replicas", "warning", "set",
    "What a Service leads to has two pods or more: one node can go, one pod can be replaced. Not asked under an "
    "autoscaler, which is asked for its minimum.",
    fix="set spec.replicas: 2 or more",
    peers="kube-linter minimum-three-replicas; kube-score deployment-replicas; Polaris deploymentMissingReplicas",
)  # fmt: skip
def _replicas(bundle: Bundle) -> Across:
    scaled = autoscaled(bundle)
    served = exposed(bundle)
    for obj in bundle.kinds("Deployment"):
        count = number(obj.spec, "replicas")
        if (1 if count is None else count) == 1 and id(obj) not in scaled and id(obj) in served:
            yield obj, ("spec", "replicas"), "one pod: each drain or crash is an outage"


@rule(
    "rollout-strategy", "warning", "set",
    "What a Service leads to is replaced pod by pod: RollingUpdate, and not all at once.",
    fix="set strategy.type: RollingUpdate with maxUnavailable 0 and maxSurge 1",
    peers="kube-linter no-rolling-update-strategy; kube-score deployment-strategy",
)  # fmt: skip
def _strategy(bundle: Bundle) -> Across:
    served = exposed(bundle)
    for obj in bundle.kinds("Deployment"):
        strategy = mapping(obj.spec, "strategy")
        if id(obj) not in served:
            continue
        if strategy.get("type") == "Recreate":
            yield (
                obj,
                ("spec", "strategy", "type"),
                "with Recreate no pod answers while the new version starts",
            )
            continue
        most = at(strategy, "rollingUpdate", "maxUnavailable")
        count = number(obj.spec, "replicas")
        if most == "100%" or (count and count > 1 and isinstance(most, int) and most >= count):
            yield (
                obj,
                ("spec", "strategy", "rollingUpdate", "maxUnavailable"),
                "every pod may be away at once",
            )


@rule(
    "update-on-delete", "warning", "object",
    "A StatefulSet or DaemonSet rolls its pods out by itself.",
    fix="set updateStrategy.type: RollingUpdate",
    peers="kube-linter no-rolling-update-strategy",
)  # fmt: skip
def _on_delete(obj: Obj) -> Found:
    if text(obj.spec, "updateStrategy", "type") == "OnDelete":
        yield ("spec", "updateStrategy", "type"), "a change waits until somebody deletes each pod"


@rule(
    "spread", "warning", "set",
    "Pods of one workload stand on different nodes: topology spread or anti-affinity.",
    fix="add topologySpreadConstraints over kubernetes.io/hostname",
    peers="kube-linter no-anti-affinity; kube-score deployment-has-host-podantiaffinity, statefulset-has-host-podantiaffinity; Polaris topologySpreadConstraint",
)  # fmt: skip
def _spread(bundle: Bundle) -> Across:
    scaled = autoscaled(bundle)
    for obj in bundle.kinds(*SERVING):
        several = (number(obj.spec, "replicas") or 1) > 1 or id(obj) in scaled
        if obj.pod is None or not several:
            continue
        spread = entries(obj.pod.spec, "topologySpreadConstraints")
        if not spread and not mapping(obj.pod.spec, "affinity", "podAntiAffinity"):
            yield obj, (*obj.pod.keys, "topologySpreadConstraints"), "all its pods may stand on one node"


@rule(
    "stateful-set-service", "error", "set",
    "A StatefulSet names a headless Service that selects its pods: their own DNS names come from it.",
    fix="add a Service with clusterIP: None and the pods' labels, and name it in spec.serviceName",
    peers="kube-linter dangling-service; kube-score statefulset-has-servicename",
)  # fmt: skip
def _headless(bundle: Bundle) -> Across:
    for obj in bundle.kinds("StatefulSet"):
        name = text(obj.spec, "serviceName")
        keys = ("spec", "serviceName")
        service = bundle.find("Service", obj.namespace, name)
        if not name:
            yield obj, keys, "it names no Service: its pods have no names of their own"
        elif service is None and bundle.knows(obj.namespace, "Service"):
            yield obj, keys, f"there is no Service {name}"
        elif service is not None and text(service.spec, "clusterIP") != "None":
            yield obj, keys, f"Service {name} is not headless: its pods have no names of their own"


@rule(
    "duplicate-object", "error", "set",
    "No object is declared twice.",
    fix="remove or rename one of them",
)  # fmt: skip
def _twice(bundle: Bundle) -> Across:
    for obj in bundle.objects:
        first = bundle.find(obj.kind, obj.namespace, obj.name)
        if first is not None and first is not obj and obj.name and first.api_version == obj.api_version:
            yield (
                obj,
                ("metadata", "name"),
                "an object of this kind and name is declared above: the last one wins",
            )
