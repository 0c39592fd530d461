"""The Kubernetes API as dicts: get, list, apply, patch, delete, logs, watch."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

import orjson

from mlk8s.clients import kubeconfig as kubeconfigs
from mlk8s.clients.kinds import BUILT_IN, Resource, prefix
from mlk8s.clients.transport import Transport
from mlk8s.clients.watching import Watch
from mlk8s.errors import NotFound

Manifest = dict[str, Any]
Manifests = list[Manifest]
FIELD_MANAGER = "mlk8s"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class Cluster:
    """One cluster, seen through one context and one default namespace.

    A kind is 'Pod', 'Deployment', ... for what Kubernetes has built in, else 'GROUP/VERSION/Kind'.
    Every method raises the ClusterError that fits the server's answer: NotFound, Conflict, Rejected,
    Forbidden, Unreachable.
    """

    def __init__(
        self, target: kubeconfigs.Target, transport: Transport, namespace: str | None = None
    ) -> None:
        self._transport = transport
        self._discovered: dict[str, Resource] = {}
        self.namespace = namespace or target.namespace
        self.context = target.context
        self.source = target.source

    @classmethod
    def connect(
        cls,
        context: str | None = None,
        kubeconfig: str | os.PathLike[str] | None = None,
        namespace: str | None = None,
        cluster: str | None = None,
    ) -> Self:
        """Find a cluster (see `mlk8s.clients.kubeconfig.find`); nothing is sent yet.

        Raises:
            Unreachable: no kubeconfig, or an unreadable one.
            UsageError: no such context.
        """

        def load() -> kubeconfigs.Target:
            return kubeconfigs.find(context, kubeconfig, cluster)

        target = load()
        return cls(target, Transport(target, load), namespace)

    @property
    def server(self) -> str:
        return self._transport.server

    @property
    def transport(self) -> Transport:
        """What carries the requests, for answers that do not end: see `mlk8s.clients.streams`."""
        return self._transport

    @property
    def authority(self) -> bytes | None:
        """Return the PEM certificates that the API server is trusted by; None for the machine's own."""
        return self._transport.authority

    def version(self) -> str:
        """Return the API server's version, such as 'v1.35.4'."""
        return str(orjson.loads(self.raw("GET", "/version"))["gitVersion"])

    def serves(self, kind: str) -> bool:
        """Return whether the API server knows a kind, 'GROUP/VERSION/Kind' ('v1/Pod' of the core group)."""
        api_version, _, bare = kind.rpartition("/")
        try:
            served = self._json("GET", prefix(api_version))["resources"]
        except NotFound:
            return False
        return any(item["kind"] == bare and "/" not in item["name"] for item in served)

    def get(
        self, kind: str, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> Manifest:
        """Return one object."""
        return self._json("GET", self._path(kind, name, namespace, subresource))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """Return one object, or None where it is not there."""
        try:
            return self.get(kind, name, namespace)
        except NotFound:
            return None

    def list(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        all_namespaces: bool = False,
        metadata_only: bool = False,
    ) -> Manifests:
        """Return the objects of a kind that match both selectors; apiVersion and kind are filled in.

        Args:
            metadata_only: only `metadata` is asked for; the kind is then PartialObjectMetadata.
        """
        path = self._path(kind, None, namespace, all_namespaces=all_namespaces)
        return self._list(path, labels, fields, _METADATA if metadata_only else "application/json")[0]

    def listed(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> tuple[Manifests, str]:
        """Return what `list` does, and the resource version from which `watch` goes on."""
        return self._list(self._path(kind, None, namespace), labels, fields, "application/json")

    def apply(
        self, manifest: Manifest, *, force: bool = False, dry_run: bool = False, manager: str = FIELD_MANAGER
    ) -> Manifest:
        """Write an object by server-side apply.

        Raises:
            Conflict: another manager owns a field; the message names both.
        """
        query = {"fieldManager": manager, "force": str(force).lower()} | _dry(dry_run)
        path = self._path_of(manifest)
        return self._json(
            "PATCH", path, query, orjson.dumps(manifest), content_type="application/apply-patch+yaml"
        )

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object; `metadata.generateName` works."""
        path = self._path_of(manifest, collection=True)
        return self._json("POST", path, {"fieldManager": FIELD_MANAGER} | _dry(dry_run), manifest)

    def patch(
        self,
        kind: str,
        name: str,
        body: Any,
        namespace: str | None = None,
        *,
        type: Literal["merge", "json", "strategic"] = "merge",
        subresource: str | None = None,
        manager: str = FIELD_MANAGER,
    ) -> Manifest:
        """Change fields of an object or of its subresource."""
        path = self._path(kind, name, namespace, subresource)
        return self._json("PATCH", path, {"fieldManager": manager}, body, content_type=_PATCH_TYPES[type])

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        grace_seconds: int | None = None,
        missing_ok: bool = True,
    ) -> bool:
        """Delete an object; return False where it was not there (and `missing_ok`)."""
        options: Manifest = {"propagationPolicy": propagation}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self._json("DELETE", self._path(kind, name, namespace), None, options)
        except NotFound:
            if not missing_ok:
                raise
            return False
        return True

    def logs(
        self,
        pod: str,
        namespace: str | None = None,
        *,
        container: str | None = None,
        tail: int | None = None,
        previous: bool = False,
    ) -> str:
        """Return a container's log; `previous` is that of its last ended run."""
        query = {"previous": str(previous).lower()}
        if container:
            query["container"] = container
        if tail is not None:
            query["tailLines"] = str(tail)
        path = self._path("Pod", pod, namespace, "log")
        return self._transport.request("GET", path, query=query, accept="*/*").decode(errors="replace")

    def events(self, namespace: str | None = None, *, of: Manifest | None = None) -> Manifests:
        """Return the events of a namespace or of one object, oldest first."""
        fields = f"involvedObject.uid={of['metadata']['uid']}" if of else None
        events = self.list(
            "Event", namespace or (of or {}).get("metadata", {}).get("namespace"), fields=fields
        )
        return sorted(events, key=event_time)

    def watch(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        version: str | None = None,
        seconds: float = 300.0,
    ) -> Watch:
        """Return the changes of the objects of a kind that match both selectors.

        Args:
            version: resource version of the list that it goes on from; None tells of every object first.
            seconds: until the server ends it.
        """
        query = _selectors(labels, fields) | {"watch": "true", "timeoutSeconds": str(max(1, round(seconds)))}
        if version is not None:
            query["resourceVersion"] = version
        path = self._path(kind, None, namespace)
        return Watch(self._transport.open_stream(path, query, read_timeout=seconds + 5.0))

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
    ) -> bytes:
        """Send one request to any path of the API server."""
        return self._transport.request(
            method, path, query=query, body=body, content_type=content_type, accept="*/*", timeout=timeout
        )

    def service_proxy(
        self,
        namespace: str,
        service: str,
        path: str,
        query: dict[str, Any] | None = None,
        timeout: float = 10.0,
    ) -> bytes:
        """Read from a Service through the API server; `service` is 'http:NAME:PORT'."""
        return self.raw(
            "GET", f"/api/v1/namespaces/{namespace}/services/{service}/proxy/{path.lstrip('/')}", query=query,
            timeout=timeout,
        )  # fmt: skip

    def close(self) -> None:
        self._transport.close()

    def _list(self, path: str, labels: str | None, fields: str | None, accept: str) -> tuple[Manifests, str]:
        answer = self._json("GET", path, _selectors(labels, fields), accept=accept)
        item_kind = str(answer.get("kind", "")).removesuffix("List")
        items: Manifests = answer.get("items") or []
        for item in items:
            item.setdefault("apiVersion", answer.get("apiVersion"))
            item.setdefault("kind", item_kind)
        return items, str(answer["metadata"]["resourceVersion"])

    def _json(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None,
        content_type: str = "application/json", accept: str = "application/json",
    ) -> Manifest:  # fmt: skip
        answer = self._transport.request(
            method, path, query=query, body=body, content_type=content_type, accept=accept
        )
        return dict(orjson.loads(answer))

    def _path(
        self, kind: str, name: str | None, namespace: str | None, subresource: str | None = None,
        all_namespaces: bool = False,
    ) -> str:  # fmt: skip
        resource = self._resource(kind)
        return resource.path(name, None if all_namespaces else namespace or self.namespace, subresource)

    def _path_of(self, manifest: Manifest, collection: bool = False) -> str:
        metadata = manifest["metadata"]
        kind = f"{manifest['apiVersion']}/{manifest['kind']}"
        return self._path(kind, None if collection else metadata["name"], metadata.get("namespace"))

    def _resource(self, kind: str) -> Resource:
        api_version, _, bare = kind.rpartition("/")
        known = BUILT_IN.get(bare)
        if known and api_version in ("", known[0]):
            return known[1]
        if kind not in self._discovered:
            self._discovered[kind] = self._discover(api_version, bare)
        return self._discovered[kind]

    def _discover(self, api_version: str, bare: str) -> Resource:
        try:
            served = self._json("GET", prefix(api_version))["resources"] if api_version else []
        except NotFound:
            served = []
        for item in served:
            if item["kind"] == bare and "/" not in item["name"]:
                return Resource(prefix(api_version), item["name"], bool(item["namespaced"]))
        raise NotFound(
            f"the cluster has no kind {bare} in {api_version or 'the built-in groups'}",
            where=self.server,
            next_step="`mlk8s doctor` shows what the cluster has; install the CRD that brings this kind",
        )


def event_time(event: Manifest) -> str:
    """Return the time an event was last seen, RFC 3339 in UTC."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    return {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
