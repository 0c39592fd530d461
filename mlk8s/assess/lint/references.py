"""What one object says of another: selectors, ports, names."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Bundle, Obj, Pod, entries, mapping, number, strings, text
from mlk8s.assess.lint.targets import served_by

Across = Iterator[tuple[Obj, Keys, str]]


@rule(
    "dangling-service", "error", "set",
    "A Service's selector selects pods. Asked where the set has pods in its namespace.",
    fix="correct the selector, or the labels of the pod template",
    peers="kube-linter dangling-service; kube-score service-targets-pod",
)  # fmt: skip
def _service(bundle: Bundle) -> Across:
    for obj in bundle.kinds("Service"):
        if mapping(obj.spec, "selector") and bundle.has_pods(obj.namespace) and not served_by(bundle, obj):
            yield obj, ("spec", "selector"), "its selector selects no pod: requests to it fail"


@rule(
    "dangling-selector", "error", "set",
    "A PodDisruptionBudget, NetworkPolicy, PodMonitor or ServiceMonitor selects something.",
    fix="correct the selector",
    peers="kube-linter dangling-networkpolicy, dangling-servicemonitor; kube-score poddisruptionbudget-has-policy, networkpolicy-targets-pod",
)  # fmt: skip
def _selector(bundle: Bundle) -> Across:
    for kind, field in (
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
        ("PodMonitor", "selector"),
    ):
        for obj in bundle.kinds(kind):
            selector = mapping(obj.spec, field)
            other = mapping(obj.spec, "namespaceSelector")
            if (
                selector
                and not other
                and bundle.has_pods(obj.namespace)
                and not bundle.selected(obj.namespace, selector)
            ):
                yield obj, ("spec", field), "its selector selects no pod: it does nothing"
    for obj in bundle.kinds("ServiceMonitor"):
        wanted = mapping(obj.spec, "selector", "matchLabels")
        known = [
            mapping(item.metadata, "labels")
            for item in bundle.kinds("Service")
            if item.namespace == obj.namespace
        ]
        other = mapping(obj.spec, "namespaceSelector")
        if wanted and known and not other and not any(wanted.items() <= labels.items() for labels in known):
            yield obj, ("spec", "selector"), "its selector selects no Service: it does nothing"


@rule(
    "service-port", "error", "set",
    "A Service's target port is one that a container of its pods has.",
    fix="correct targetPort, or declare the port on the container",
    peers="kube-linter invalid-target-ports",
)  # fmt: skip
def _target_port(bundle: Bundle) -> Across:
    for obj in bundle.kinds("Service"):
        pods = served_by(bundle, obj)
        if not pods:
            continue
        names, numbers = _ports(pods)
        for i, port in entries(obj.spec, "ports"):
            target = port.get("targetPort", port.get("port"))
            keys = ("spec", "ports", i, "targetPort")
            if isinstance(target, str) and not target.isdigit():
                if target not in names:
                    yield obj, keys, f"no container of its pods names a port {target!r}{_known(names)}"
            elif numbers and str(target) not in numbers:
                yield obj, keys, f"no container of its pods has port {target}{_known(numbers)}"


def _ports(pods: list[Pod]) -> tuple[set[str], set[str]]:
    found = [port for pod in pods for item in pod.containers for _, port in item.ports()]
    return {text(port, "name") for port in found} - {""}, {
        str(number(port, "containerPort")) for port in found
    }


def _known(names: set[str]) -> str:
    return f"; they have {', '.join(sorted(names)[:5])}" if names else ""


@rule(
    "dangling-route", "error", "set",
    "An Ingress or HTTPRoute leads to a Service that is there, on a port that it has. Asked where the set has "
    "Services in its namespace.",
    fix="correct the backend's name or port",
    peers="kube-linter dangling-ingress; kube-score ingress-targets-service",
)  # fmt: skip
def _route(bundle: Bundle) -> Across:
    for obj, keys, name, port in _backends(bundle):
        service = bundle.find("Service", obj.namespace, name)
        if service is None:
            if bundle.knows(obj.namespace, "Service"):
                yield obj, (*keys, "name"), f"there is no Service {name}: requests get 503"
            continue
        ports = [item for _, item in entries(service.spec, "ports")]
        has = {str(item.get("name")) for item in ports} | {str(item.get("port")) for item in ports}
        if port is not None and text(service.spec, "type") != "ExternalName" and str(port) not in has:
            yield obj, (*keys, "port"), f"Service {name} has no port {port}{_known(has - {'None'})}"


def _backends(bundle: Bundle) -> Iterator[tuple[Obj, Keys, str, object]]:
    """Yield each backend of an Ingress or HTTPRoute: object, path, Service, port."""
    for obj in bundle.kinds("Ingress"):
        places: list[Keys] = [("spec", "defaultBackend")]
        for i, item in entries(obj.spec, "rules"):
            places += [
                ("spec", "rules", i, "http", "paths", j, "backend") for j, _ in entries(item, "http", "paths")
            ]
        for keys in places:
            service = mapping(obj.body, *keys, "service")
            port = mapping(service, "port")
            if service:
                yield obj, (*keys, "service"), text(service, "name"), port.get("name", port.get("number"))
    for obj in bundle.kinds("HTTPRoute"):
        for i, item in entries(obj.spec, "rules"):
            for j, backend in entries(item, "backendRefs"):
                own = not text(backend, "namespace") and text(backend, "kind") in ("", "Service")
                if own:
                    yield (
                        obj,
                        ("spec", "rules", i, "backendRefs", j),
                        text(backend, "name"),
                        backend.get("port"),
                    )


@rule(
    "missing-reference", "error", "set",
    "What a pod names is there: ConfigMap, Secret, ServiceAccount, PersistentVolumeClaim. Asked of a set that is whole; "
    "of a key, wherever its ConfigMap or Secret is in the set.",
    fix="add the object or the key, correct the name, or mark it optional",
    peers="kube-linter non-existent-service-account",
)  # fmt: skip
def _missing(bundle: Bundle) -> Across:
    for pod in bundle.pods:
        for keys, kind, name, wanted in _named(pod):
            found = bundle.find(kind, pod.obj.namespace, name)
            if found is None:
                if bundle.whole and name:
                    yield pod.obj, (*pod.keys, *keys), f"there is no {kind} {name}: the pod does not start"
                continue
            has = {
                *mapping(found.body, "data"),
                *mapping(found.body, "stringData"),
                *mapping(found.body, "binaryData"),
            }
            if wanted is not None and wanted not in has:
                yield (
                    pod.obj,
                    (*pod.keys, *keys),
                    f"{kind} {name} has no key {wanted}: the pod does not start",
                )


def _named(pod: Pod) -> Iterator[tuple[Keys, str, str, str | None]]:
    """Yield what a pod names and cannot do without: path, kind, name, key."""
    if pod.account != "default":
        yield ("serviceAccountName",), "ServiceAccount", pod.account, None
    for i, volume in pod.volumes():
        yield from _of_volume(("volumes", i), volume)
        for j, source in entries(volume, "projected", "sources"):
            yield from _of_volume(("volumes", i, "projected", "sources", j), source)
    for item in pod.containers:
        for i, entry in entries(item.body, "envFrom"):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                reference = mapping(entry, field)
                if reference and reference.get("optional") is not True:
                    yield (*item.keys, "envFrom", i, field), kind, text(reference, "name"), None
        for i, entry in entries(item.body, "env"):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                reference = mapping(entry, "valueFrom", field)
                if reference and reference.get("optional") is not True:
                    keys: Keys = (*item.keys, "env", i, "valueFrom", field)
                    yield keys, kind, text(reference, "name"), text(reference, "key")


def _of_volume(keys: Keys, volume: dict[str, object]) -> Iterator[tuple[Keys, str, str, str | None]]:
    for field, kind, name in (
        ("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("secret", "Secret", "name"),
        ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
    ):  # fmt: skip
        source = mapping(volume, field)
        if text(source, name) and source.get("optional") is not True:
            yield (*keys, field), kind, text(source, name), None
            for _, item in entries(source, "items"):
                yield (*keys, field, "items"), kind, text(source, name), text(item, "key")


@rule(
    "shared-volume", "warning", "set",
    "A claim that one node may mount (ReadWriteOnce) is not shared by several pods of a Deployment.",
    fix="use ReadWriteMany or ReadOnlyMany, one replica, or a StatefulSet with volumeClaimTemplates",
)  # fmt: skip
def _shared(bundle: Bundle) -> Across:
    for obj in bundle.kinds("Deployment"):
        if obj.pod is None or (number(obj.spec, "replicas") or 1) < 2:
            continue
        for i, volume in obj.pod.volumes():
            name = text(volume, "persistentVolumeClaim", "claimName")
            claim = bundle.find("PersistentVolumeClaim", obj.namespace, name)
            modes = strings(claim.spec, "accessModes") if claim is not None else []
            if modes and set(modes) <= {"ReadWriteOnce", "ReadWriteOncePod"}:
                keys = (*obj.pod.keys, "volumes", i)
                yield (
                    obj,
                    keys,
                    f"its pods share the claim {name} ({', '.join(modes)}): on other nodes they do not start",
                )
