"""What rendering must know about the cluster, gathered beforehand by whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RenderFacts:
    """Facts about one cluster and namespace.

    Attributes:
        namespace: where the objects go.
        ingress_class: class of the ingress controller; None leaves it to the cluster's default class.
        storage_endpoint: S3 address as seen from pods.
        server_image, pipeline_image: images of the platform, used where a spec names none.
        ingress_namespace, prometheus_namespace: namespaces whose pods may call the model server.
        storage_namespace: namespace of the object storage; None means that it is outside the cluster.
        ingress_url: address of the Ingress as seen from the user, without a trailing slash.
        secret_versions: what changes with a Secret's content, by its name; never anything of the content.
        ingress_https_url: the same where the way in terminates TLS.
        gateway_tls: whether the Gateway that a route names listens with TLS only.
        prometheus_url: address of Prometheus as seen from pods.
    """

    namespace: str
    ingress_class: str | None = None
    storage_endpoint: str | None = None
    server_image: str | None = None
    pipeline_image: str | None = None
    ingress_namespace: str | None = None
    prometheus_namespace: str | None = None
    storage_namespace: str | None = None
    ingress_url: str | None = None
    ingress_https_url: str | None = None
    prometheus_url: str | None = None
    gateway_tls: bool = False
    secret_versions: Mapping[str, str] = field(default_factory=dict)
