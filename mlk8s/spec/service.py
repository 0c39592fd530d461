"""A model that answers requests: everything one ModelService is made of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.autoscale import Autoscale
from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Labels, Name, Namespace, Seconds, dns_label
from mlk8s.spec.resources import Gpu, Resources

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = re.compile(r"(?i)(password|passwd|secret|token|api_?key|access_?key|credential)")


def model_url(value: str) -> str:
    """Check the address of a model version: s3://BUCKET/PATH."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9._/=-]*[A-Za-z0-9._=-]", value):
        raise ValueError(
            "expected the address of a model version, s3://BUCKET/PATH (such as s3://models/iris/1)"
        )
    return value


def image_name(value: str) -> str:
    """Check a container image reference: it names a tag or a digest, and the tag is not `latest`."""
    path, at, digest = value.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError("expected the digest of an image as @sha256: and 64 hexadecimal digits")
    name, colon, tag = path.rpartition(":")
    tagged = bool(colon) and "/" not in tag
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?", name if tagged else path):
        raise ValueError("expected an image reference such as registry/repository:tag")
    if not at and (not tagged or tag == "latest"):
        raise ValueError(
            "expected an image with a fixed tag or a digest; 'latest' changes under a running service"
        )
    return value


def _host(value: str) -> str:
    if len(value) > 253:
        raise ValueError("expected a DNS name of at most 253 characters")
    for part in value.removeprefix("*.").split("."):
        dns_label(part)
    return value


def _gateway(value: str) -> str:
    namespace, slash, name = value.partition("/")
    if not slash:
        raise ValueError("expected NAMESPACE/NAME of a Gateway")
    return f"{dns_label(namespace)}/{dns_label(name)}"


def _path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", value) or "//" in value:
        raise ValueError("expected an absolute URL path such as /models/iris")
    return value if value == "/" else value.rstrip("/")


def _env(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not _ENV.fullmatch(name):
            raise ValueError(f"environment variable {name!r}: expected letters, digits and '_'")
        if _SECRET_WORDS.search(name):
            raise ValueError(
                f"environment variable {name!r} looks like a secret; expected no plain secrets in a spec: "
                "put it into a Kubernetes Secret"
            )
    return value


ModelUrl = Annotated[str, AfterValidator(model_url)]
Image = Annotated[str, AfterValidator(image_name)]
Environment = Annotated[dict[str, str], AfterValidator(_env)]


class Route(Spec):
    """The way in from outside the cluster.

    Attributes:
        host: DNS name; None answers on every name.
        path: URL prefix; None means /NAMESPACE/NAME. The server knows its prefix, so no controller has to
            rewrite it.
        ingress_class: None means the cluster's platform or default class.
        gateway: NAMESPACE/NAME of a Gateway (Gateway API); the way in is then an HTTPRoute, not an Ingress.
    """

    host: Annotated[str, AfterValidator(_host)] | None = None
    path: Annotated[str, AfterValidator(_path)] | None = None
    ingress_class: Name | None = None
    gateway: Annotated[str, AfterValidator(_gateway)] | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Route:
        if self.gateway is not None and self.ingress_class is not None:
            raise ValueError("ingress_class and gateway are both given; expected one way in")
        return self


class ModelService(Spec):
    """One model version served by a Deployment behind a Service and an Ingress.

    Attributes:
        name: DNS-1123 label, at most 50 characters.
        model: s3://BUCKET/PATH of a version with its manifest.
        digest: sha256:... of the manifest; `deploy` fills it in where it can reach the storage, so that every
            pod serves the same bytes.
        namespace: None means the connection's namespace.
        replicas: pods, where nothing scales them.
        autoscale: scale by a metric instead.
        gpu: GPUs a pod.
        route: None keeps the service inside the cluster.
        resources: CPU and memory a pod.
        image: model server image; None means the platform's.
        storage_secret: Secret with access-key-id and secret-access-key, mounted as files.
        storage_endpoint: S3 address as seen from pods; None means the platform's.
        env: plain environment variables; anything that looks like a secret is refused.
        labels: further labels on every object.
        startup_timeout: seconds a pod may take to load its model.
        request_timeout: seconds of the longest request; the pod drains that long before it ends.
        max_in_flight: requests a pod holds before it answers 503 with Retry-After.
    """

    name: Name
    model: ModelUrl
    digest: Annotated[str, Field(pattern=_DIGEST.pattern + "$")] | None = None
    namespace: Namespace | None = None
    replicas: Annotated[int, Field(ge=1, le=1000, strict=True)] = 2
    autoscale: Autoscale | None = None
    gpu: Gpu | None = None
    route: Route | None = Route()
    resources: Resources = Resources()
    image: Image | None = None
    storage_secret: Name = "mlk8s-storage"
    storage_endpoint: str | None = None
    env: Environment = {}
    labels: Labels = {}
    startup_timeout: Annotated[Seconds, Field(ge=1, le=3600)] = 120.0
    request_timeout: Annotated[Seconds, Field(ge=1, le=600)] = 10.0
    max_in_flight: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 256

    @model_validator(mode="after")
    def _one_source_of_replicas(self) -> ModelService:
        if self.autoscale is not None and "replicas" in self.model_fields_set:
            raise ValueError(
                "replicas and autoscale are both given, and would fight over one field; expected one of them "
                "(Autoscale(min=..., max=...) sets the bounds)"
            )
        return self
