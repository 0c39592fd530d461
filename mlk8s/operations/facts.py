"""From what a cluster's platform offers to what rendering must know."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.traffic import terminates_tls
from mlk8s.operations.secrets import secret_versions
from mlk8s.render.facts import RenderFacts
from mlk8s.spec.base import Spec
from mlk8s.spec.configuration import referenced_secrets
from mlk8s.spec.service import ModelService


def render_facts(platform: Platform, namespace: str) -> RenderFacts:
    """Return the facts for manifests in one namespace."""
    return RenderFacts(
        namespace=namespace,
        ingress_class=platform.ingress_class,
        storage_endpoint=platform.s3_endpoint,
        server_image=platform.server_image,
        pipeline_image=platform.pipeline_image,
        ingress_namespace=platform.ingress_namespace,
        prometheus_namespace=platform.prometheus_namespace,
        storage_namespace=_namespace_of(platform.s3_endpoint),
        ingress_url=platform.ingress_url,
        ingress_https_url=platform.ingress_https_url,
        prometheus_url=_prometheus_url(platform.prometheus),
    )


def facts_for(cluster: Cluster, platform: Platform, spec: Spec, namespace: str) -> RenderFacts:
    """Return the facts for one spec's manifests, with the versions of the Secrets that it refers to."""
    versions = secret_versions(cluster, namespace, referenced_secrets(spec))
    route = spec.route if isinstance(spec, ModelService) else None
    secure = False
    if route is not None and route.gateway is not None:
        secure = terminates_tls(cluster, route.gateway, route.listener)
    return replace(
        render_facts(platform, namespace),
        secret_versions=versions,
        gateway_tls=secure,
    )


def _prometheus_url(place: str | None) -> str | None:
    """Return the address in the cluster of 'NAMESPACE/SERVICE:PORT'."""
    namespace, _, service = (place or "").partition("/")
    name, _, port = service.partition(":")
    return f"http://{name}.{namespace}.svc:{port}" if port else None


def _namespace_of(endpoint: str | None) -> str | None:
    """Return the namespace in a Service's address, http://NAME.NAMESPACE.svc:PORT; None for any other."""
    parts = (urlsplit(endpoint).hostname or "").split(".") if endpoint else []
    return parts[1] if len(parts) >= 3 and parts[2] == "svc" else None
