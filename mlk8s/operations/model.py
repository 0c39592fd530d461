"""Find the model's digest before a deploy, where the storage can be reached from here."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import urlsplit

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import ClusterError, DigestMismatch, NotFound, SpecError
from mlk8s.spec.service import ModelService
from mlk8s.spec.urls import CaFile, digest_needed, scheme

Say = Callable[[str], None]


def with_digest(
    cluster: Cluster, platform: Platform, spec: ModelService, namespace: str, say: Say
) -> ModelService:
    """Return the spec with its model's digest, so that every pod serves the same bytes.

    Where the storage cannot be reached from here, the spec stays as it is and that is said: the pods fetch
    and check the model anyway.

    Raises:
        StorageError: the model is not there, or the storage refuses.
        DigestMismatch: the spec names another digest than the model has.
        SpecError: an https:// model has no digest, and it cannot be read from here.
    """
    if scheme(spec.model) == "https":
        return _with_https_digest(cluster, spec, namespace, say)
    if scheme(spec.model) in ("pvc", "file"):
        return spec  # only pods can read a claim, whose digest is in the spec, or the files of their image
    endpoint = _endpoint_from_here(platform, spec)
    keys = _keys(cluster, namespace, spec.storage_secret) if endpoint else None
    if endpoint is None or keys is None:
        say(f"{spec.name}: the storage is not reachable from here; the pods check the model")
        return spec
    from mlk8s.storage.credentials import StorageConfig
    from mlk8s.storage.failures import StorageUnreachable
    from mlk8s.storage.models import read_model

    config = StorageConfig(endpoint=endpoint, access_key_id=keys[0], secret_access_key=keys[1])
    try:
        return _filled(spec, read_model(spec.model, config).digest)
    except StorageUnreachable as error:
        say(f"{spec.name}: {error.what} The pods check the model")
        return spec


def _with_https_digest(cluster: Cluster, spec: ModelService, namespace: str, say: Say) -> ModelService:
    """Return the spec with the digest of an https:// model, asked from here with the spec's own authority."""
    from mlk8s.storage.failures import StorageUnreachable
    from mlk8s.storage.https import HttpsStore
    from mlk8s.storage.location import Location
    from mlk8s.storage.manifest import MANIFEST, Manifest

    ca = _authority(cluster, spec.model_ca, namespace) if spec.model_ca is not None else None
    host = urlsplit(spec.model).hostname or ""
    try:
        if ".svc" in host:
            raise StorageUnreachable(f"The host {host} is known in the cluster only.")
        store = HttpsStore(Location.parse(spec.model), ca_pem=ca)
        found = Manifest.parse(store.get(MANIFEST), f"{spec.model}/{MANIFEST}")
    except StorageUnreachable as error:
        if spec.digest is None:
            raise SpecError(
                f"{error.what} {digest_needed(spec.model)}", where=f"ModelService {spec.name}"
            ) from None
        say(f"{spec.name}: {error.what} The pods check the model")
        return spec
    return _filled(spec, found.digest)


def _authority(cluster: Cluster, ca: CaFile, namespace: str) -> str:
    """Return the PEM of a spec's authority.

    Raises:
        NotFound: the object or its key is not there.
    """
    kind, name = ("ConfigMap", ca.config_map) if ca.config_map else ("Secret", ca.secret)
    found = cluster.find(kind, name or "", namespace)
    keys = (found or {}).get("data") or {}
    text: str | None = keys.get(ca.key)
    if text is None:
        raise NotFound(
            f"{kind} {name!r} of model_ca {'is not there' if found is None else f'has no key {ca.key!r}'}",
            where=f"namespace {namespace!r}",
            expected=f"the authority's certificate (PEM) under the key {ca.key!r}",
            next_step=f"`kubectl create {'configmap' if kind == 'ConfigMap' else 'secret generic'} {name} "
            f"-n {namespace} --from-file {ca.key}=FILE`",
        )
    return text if kind == "ConfigMap" else base64.b64decode(text).decode()


def _filled(spec: ModelService, digest: str) -> ModelService:
    if spec.digest is not None and spec.digest != digest:
        raise DigestMismatch(
            f"the model's digest is {digest}",
            where=spec.model,
            expected=spec.digest,
            next_step="publish changed models as a new version, or leave the digest to deploy",
        )
    filled: ModelService = spec.replace(digest=digest)
    return filled


def _endpoint_from_here(platform: Platform, spec: ModelService) -> str | None:
    if spec.storage_endpoint in (None, platform.s3_endpoint):
        outside: str | None = platform.s3_endpoint_outside
        return outside
    host = urlsplit(spec.storage_endpoint or "").hostname or ""
    return None if ".svc" in host else spec.storage_endpoint


def _keys(cluster: Cluster, namespace: str, secret: str) -> tuple[str, str] | None:
    try:
        data = cluster.get("Secret", secret, namespace).get("data") or {}
    except ClusterError:
        return None
    values = [base64.b64decode(data.get(key, "")).decode() for key in ("access-key-id", "secret-access-key")]
    return values[0], values[1]
