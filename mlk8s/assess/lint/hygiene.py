"""Names, labels, images, and what is given twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import LONG_RUNNING, Container, Obj, Pod, at, entries, mapping, text

Found = Iterator[tuple[Keys, str]]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MOVING = {"latest", "stable", "main", "master", "edge", "nightly", "dev", "devel", "snapshot"}
_RBAC = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
_LABEL_NAMED = ("Service", "Namespace")


@rule(
    "moving-tag", "error", "container",
    "An image has a digest or a tag that stays what it is; pulling it anew at each start is then not asked.",
    fix="name a version, best as IMAGE@sha256:DIGEST",
    peers="kube-linter latest-tag; kube-score container-image-tag, container-image-pull-policy; Polaris tagNotSpecified, pullPolicyNotAlways; Kyverno disallow-latest-tag",
)  # fmt: skip
def _tag(item: Container) -> Found:
    image = text(item.body, "image")
    path, at_sign, _ = image.partition("@")
    tag = path.rpartition("/")[2].partition(":")[2]
    if not image:
        yield ("image",), "it names no image"
    elif not at_sign and not tag:
        yield ("image",), f"{image} has no tag, which means latest: another start may run another program"
    elif not at_sign and tag.lower() in _MOVING:
        yield ("image",), f"the tag of {image} moves: another start may run another program"


@rule(
    "default-namespace", "warning", "object",
    "Nothing lives in the namespace `default`. Not asked where none is named: an overlay may do that.",
    fix="name a namespace of its own",
    peers="kube-linter use-namespace; Kyverno disallow-default-namespace",
    standard="CIS 5.7.4",
)  # fmt: skip
def _namespace(obj: Obj) -> Found:
    if obj.namespace == "default" and not (obj.kind == "Service" and obj.name == "kubernetes"):
        yield ("metadata", "namespace"), "it shares the namespace default with whatever nobody cared about"


@rule(
    "recommended-labels", "warning", "object",
    "Pods have the label app.kubernetes.io/name, by which tools and people find them.",
    fix="add app.kubernetes.io/name to the labels of the pod template",
    peers="kube-linter required-label-owner; Polaris metadataAndInstanceMismatched; Kyverno require-labels",
)  # fmt: skip
def _labels(obj: Obj) -> Found:
    if obj.pod is not None and not obj.owned and "app.kubernetes.io/name" not in obj.pod.labels:
        yield (*obj.pod.metadata_keys, "labels"), "its pods lack the label app.kubernetes.io/name"


@rule(
    "names", "error", "object",
    "Names and labels are of the form that Kubernetes accepts.",
    fix="use lower-case letters, digits and '-' in names; at most 63 characters in label values",
    peers="kube-score label-values",
)  # fmt: skip
def _names(obj: Obj) -> Found:
    metadata = obj.metadata
    if obj.kind and not obj.name and not obj.kind.endswith("List"):
        yield ("metadata", "name"), "it has no name"
    elif obj.name and obj.kind not in _RBAC:
        pattern, longest = (_LABEL, 63) if obj.kind in _LABEL_NAMED else (_SUBDOMAIN, 253)
        name = text(metadata, "name") or obj.name + "x"
        if len(name) > longest or not pattern.fullmatch(name):
            yield (
                ("metadata", "name"),
                f"{obj.name!r} is not a name; expected at most {longest} characters of a-z, 0-9, '-'",
            )
    if obj.namespace and (len(obj.namespace) > 63 or not _LABEL.fullmatch(obj.namespace)):
        yield ("metadata", "namespace"), f"{obj.namespace!r} is not the name of a namespace"
    places: list[Keys] = [("metadata",)]
    if obj.pod is not None and obj.pod.metadata_keys != ("metadata",):
        places.append(obj.pod.metadata_keys)
    for keys in places:
        for key, value in mapping(obj.body, *keys, "labels").items():
            if not _KEY.fullmatch(str(key)):
                yield (*keys, "labels", key), f"{key!r} is not a label's name"
            elif not isinstance(value, str) or not _VALUE.fullmatch(value):
                hint = "; write it in quotes" if not isinstance(value, str) else ""
                yield (*keys, "labels", key), f"{value!r} is not a label's value{hint}"


@rule(
    "text-expected", "error", "object",
    "Values of annotations, ConfigMaps and environment variables are text: numbers and true or false stand in quotes.",
    fix="put the value in quotes",
)  # fmt: skip
def _texts(obj: Obj) -> Found:
    places: list[Keys] = [("metadata", "annotations")]
    if obj.kind == "ConfigMap":
        places.append(("data",))
    if obj.pod is not None and obj.pod.metadata_keys != ("metadata",):
        places.append((*obj.pod.metadata_keys, "annotations"))
    for keys in places:
        for key, value in mapping(obj.body, *keys).items():
            if value is not None and not isinstance(value, str):
                yield (*keys, key), f"{value!r} is not text"
    for item in obj.pod.containers if obj.pod is not None else ():
        for i, entry in entries(item.body, "env"):
            value = entry.get("value")
            if value is not None and not isinstance(value, str):
                yield (*obj.pod.keys, *item.keys, "env", i, "value"), f"{value!r} is not text"  # type: ignore[union-attr]


@rule(
    "duplicate-env", "error", "container",
    "No environment variable is given twice.",
    fix="remove one of them: the last one wins",
    peers="kube-linter duplicate-env-var; kube-score environment-variable-key-duplication",
)  # fmt: skip
def _env(item: Container) -> Found:
    seen: set[str] = set()
    for i, entry in entries(item.body, "env"):
        name = text(entry, "name")
        if name in seen:
            yield ("env", i, "name"), f"{name} is given twice"
        seen.add(name)


@rule(
    "volumes", "error", "pod",
    "Every volume is declared once, every mount names one of them, and no path is mounted twice.",
    fix="declare the volume, or correct the mount",
)  # fmt: skip
def _volumes(pod: Pod) -> Found:
    declared: set[str] = set()
    for i, volume in pod.volumes():
        name = text(volume, "name")
        if name in declared:
            yield ("volumes", i, "name"), f"the volume {name} is declared twice"
        declared.add(name)
    # A StatefulSet's claims are volumes, too.
    declared |= {text(item, "metadata", "name") for _, item in entries(pod.obj.spec, "volumeClaimTemplates")}
    for item in pod.containers:
        paths: set[str] = set()
        for i, mount in entries(item.body, "volumeMounts"):
            name, path = text(mount, "name"), text(mount, "mountPath").rstrip("/")
            if name not in declared:
                yield (*item.keys, "volumeMounts", i, "name"), f"there is no volume {name}"
            if path in paths:
                yield (*item.keys, "volumeMounts", i, "mountPath"), f"{path} is mounted twice"
            paths.add(path)


@rule(
    "container-names", "error", "pod",
    "A pod has a container, and no two of one name.",
    fix="rename one of them",
)  # fmt: skip
def _containers(pod: Pod) -> Found:
    if pod.obj.kind in LONG_RUNNING and at(pod.spec, "containers") in (None, []):
        yield ("containers",), "it has no container"
    seen: set[str] = set()
    for item in pod.containers:
        if item.name in seen:
            yield (*item.keys, "name"), f"two containers are named {item.name}"
        seen.add(item.name)
