"""What must hold before anything is written: the namespace, the permissions, the storage Secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.kinds import BUILT_IN
from mlk8s.errors import Conflict, Forbidden, NotFound
from mlk8s.render.common import MANAGED_BY, MANAGER, Manifest

SYSTEM_NAMESPACE = "mlk8s-system"
STORAGE_SECRET = "mlk8s-storage"  # noqa: S105 - the name of a Secret
_KEYS = ("access-key-id", "secret-access-key")
_REVIEWS = "/apis/authorization.k8s.io/v1"


def require_namespace(cluster: Cluster, namespace: str, *, create: bool = False) -> bool:
    """Check that a namespace is there; make it with Pod Security `restricted` where `create`.

    Returns:
        Whether it was made.

    Raises:
        NotFound: it is not there; names those that are.
        Conflict: it is being deleted.
    """
    try:
        found = cluster.find("Namespace", namespace)
    except Forbidden:
        return False  # who may only use a namespace often may not read it; the first write tells
    if found is not None:
        if found["metadata"].get("deletionTimestamp"):
            raise Conflict(
                f"namespace {namespace!r} is being deleted",
                where=f"context {cluster.context!r}",
                next_step="wait until it is gone, or use another one",
            )
        return False
    if not create:
        raise NotFound(
            f"namespace {namespace!r} is not there",
            where=f"context {cluster.context!r}",
            expected=_there(cluster),
            next_step=f"`kubectl create namespace {namespace}`, in Python "
            f"`k8s.create_namespace({namespace!r})`, or `mlk8s deploy --create-namespace`",
        )
    labels = {MANAGED_BY: MANAGER, "pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    )
    return True


def _there(cluster: Cluster) -> str | None:
    try:
        names = [item["metadata"]["name"] for item in cluster.list("Namespace", all_namespaces=True)]
    except Forbidden:
        return None
    return f"one of: {', '.join(names)}"


def require_permissions(
    cluster: Cluster, namespace: str, kinds: Iterable[str], reads: Iterable[str] = ()
) -> None:
    """Check that we may get, create and patch some kinds and list others, before anything is applied.

    Raises:
        Forbidden: names each verb and resource that is missing.
    """
    wanted = [(verb, kind) for kind in dict.fromkeys(kinds) for verb in ("get", "create", "patch")]
    wanted += [("list", kind) for kind in dict.fromkeys(reads)]
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {}}
    answer = orjson.loads(
        cluster.raw(
            "POST", f"{_REVIEWS}/selfsubjectrulesreviews", body={**body, "spec": {"namespace": namespace}}
        )
    )["status"]
    rules = answer.get("resourceRules") or []
    missing = [(verb, kind) for verb, kind in wanted if not _covered(rules, verb, *_resource(kind))]
    if answer.get("incomplete"):  # an authorizer that cannot list its rules: ask one by one
        missing = [(verb, kind) for verb, kind in missing if not _may(cluster, namespace, verb, kind)]
    if not missing:
        return
    by_kind: dict[str, list[str]] = {}
    for verb, kind in missing:
        group, resource = _resource(kind)
        by_kind.setdefault(f"{resource}.{group}" if group else resource, []).append(verb)
    lines = [f"{', '.join(verbs)} {resource}" for resource, verbs in by_kind.items()]
    raise Forbidden(
        f"you may not: {'; '.join(lines)}",
        where=f"namespace {namespace!r} of context {cluster.context!r}",
        expected="these permissions in a Role that is bound to you; nothing was written",
        next_step=f"`kubectl auth can-i --list -n {namespace}` shows what you may do",
    )


def _resource(kind: str) -> tuple[str, str]:
    api_version, resource = BUILT_IN[kind]
    return api_version.rpartition("/")[0], resource.plural


def _covered(rules: list[dict[str, Any]], verb: str, group: str, resource: str) -> bool:
    return any(
        {"*", verb} & set(rule.get("verbs") or [])
        and {"*", group} & set(rule.get("apiGroups") or [])
        and {"*", resource} & set(rule.get("resources") or [])
        and not rule.get("resourceNames")
        for rule in rules
    )


def _may(cluster: Cluster, namespace: str, verb: str, kind: str) -> bool:
    group, resource = _resource(kind)
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = orjson.loads(cluster.raw("POST", f"{_REVIEWS}/selfsubjectaccessreviews", body=body))
    return bool(answer["status"].get("allowed"))


def require_storage_secret(cluster: Cluster, namespace: str, name: str) -> bool:
    """Check the storage Secret; the platform's own is copied where it is absent or an old copy.

    Returns:
        Whether it was written.

    Raises:
        NotFound: it is not there, or it lacks a key.
    """
    try:
        found = cluster.find("Secret", name, namespace)
    except Forbidden:
        return False  # the pod tells, if it is not there
    if name == STORAGE_SECRET and namespace != SYSTEM_NAMESPACE and (found is None or _is_ours(found)):
        source = _platform_secret(cluster)
        if source is not None:
            if found is not None and found.get("data") == source.get("data"):
                return False
            cluster.apply(_copy(source, namespace))
            return True
    lacking = [key for key in _KEYS if key not in ((found or {}).get("data") or {})]
    if found is None or lacking:
        what = "is not there" if found is None else f"has no key {' and no key '.join(lacking)}"
        raise NotFound(
            f"Secret {name!r} {what}",
            where=f"namespace {namespace!r}",
            expected=f"the storage credentials under the keys {' and '.join(_KEYS)}",
            next_step=f"`kubectl create secret generic {name} -n {namespace} "
            "--from-literal=access-key-id=... --from-literal=secret-access-key=...`",
        )
    return False


def _platform_secret(cluster: Cluster) -> Manifest | None:
    try:
        return cluster.find("Secret", STORAGE_SECRET, SYSTEM_NAMESPACE)
    except Forbidden:
        return None


def _is_ours(item: Mapping[str, Any]) -> bool:
    return (item["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER


def _copy(source: Manifest, namespace: str) -> Manifest:
    metadata = {"name": STORAGE_SECRET, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}}
    data = {key: source["data"][key] for key in _KEYS}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
