"""The way in from outside the cluster: host, paths, TLS, Gateway; and the type of the Service behind it."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mlk8s.spec.base import Spec
from mlk8s.spec.fields import Labels, Name, Namespace, dns_label


def dns_name(value: str) -> str:
    """Check a DNS name: labels with dots between them, at most 253 characters.

    Raises:
        ValueError: with the expected form.
    """
    if len(value) > 253:
        raise ValueError("expected a DNS name of at most 253 characters")
    for part in value.split("."):
        dns_label(part)
    return value


def _host(value: str) -> str:
    name = value.removeprefix("*.")
    if re.fullmatch(r"[0-9.]+", name):
        raise ValueError("expected a DNS name such as iris.example.com, not an IP address")
    try:
        dns_name(name)
    except ValueError:
        raise ValueError(
            "expected a DNS name such as iris.example.com: lower-case letters, digits, '-' and '.', without "
            "https:// and port"
        ) from None
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


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(
            "expected a network in CIDR notation such as 192.0.2.0/24, without host bits"
        ) from None


def asked_host(host: str | None) -> str | None:
    """Return a host to ask for: of a wildcard some name that it covers."""
    return host.replace("*", "any", 1) if host is not None else None


UrlPath = Annotated[str, AfterValidator(_path)]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
_CLASS = r"^[a-z0-9][-a-z0-9.]{0,252}/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
PathType = Literal["Prefix", "Exact"]


class PathRule(Spec):
    """One path that is let in.

    Attributes:
        path: below the route's own path, such as /v2/health; '/' is all of it.
        type: `Prefix` matches whole path elements, `Exact` nothing but the path itself.
    """

    path: UrlPath
    type: PathType = "Prefix"


class Route(Spec):
    """The way in from outside the cluster.

    Attributes:
        host: DNS name, or *.NAME; None answers on every name.
        path: URL prefix; None means /NAMESPACE/NAME. The server knows its prefix, so no controller has to
            rewrite it.
        paths: what is let in below `path`; empty means all of it. The rest answers 404 at the controller.
        tls: Secret of type kubernetes.io/tls, in the service's namespace, with a certificate for `host`; on a
            Gateway the listener has the certificate.
        redirect: answer HTTP with a redirect to HTTPS (308); None means wherever there is `tls`.
        ingress_class: None means the cluster's platform or default class.
        gateway: NAMESPACE/NAME of a Gateway (Gateway API); the way in is then an HTTPRoute, not an Ingress.
        listener: name of the Gateway's listener; None means every one that takes the route.
    """

    host: Host | None = None
    path: UrlPath | None = None
    paths: Annotated[tuple[PathRule, ...], Field(max_length=50)] = ()
    tls: Name | None = None
    redirect: bool | None = None
    ingress_class: Name | None = None
    gateway: Annotated[str, AfterValidator(_gateway)] | None = None
    listener: Annotated[str, AfterValidator(dns_label)] | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Route:
        if self.gateway is not None and self.ingress_class is not None:
            raise ValueError("ingress_class and gateway are both given; expected one way in")
        if self.listener is not None and self.gateway is None:
            raise ValueError("listener is given without gateway; expected the Gateway that has it")
        if self.tls is not None and self.gateway is not None:
            raise ValueError(
                "tls and gateway are both given; expected the certificate at the Gateway's listener "
                "(spec.listeners[].tls.certificateRefs)"
            )
        if self.tls is not None and self.host is None:
            raise ValueError("tls is given without host; expected the name that the certificate is for")
        if self.redirect and self.tls is None:
            raise ValueError("redirect is given without tls; expected tls='SECRET', or no redirect")
        rules = [(rule.path, rule.type) for rule in self.paths]
        if len(set(rules)) < len(rules):
            raise ValueError("a rule of paths is given twice; expected each path and type once")
        return self


class ServiceType(Spec):
    """How a Kubernetes Service is reached: `mlk8s.ServiceType("NodePort", node_port=30123)`.

    A plain string says the same: `service_type="LoadBalancer"`.

    Attributes:
        type: `ClusterIP`: inside the cluster; `NodePort`: a port of every node; `LoadBalancer`: an address
            outside; `Headless`: no address, the cluster's DNS answers with every ready pod's.
        node_port: 30000 to 32767; None lets Kubernetes choose.
        load_balancer_class: controller that makes the address; None means the cluster's default.
        source_ranges: networks that may call it from outside; empty means all. Policy `Local` is then the
            default, so that the callers' own addresses are seen.
        external_traffic_policy: `Cluster` (the default) spreads over the pods of every node; `Local` serves
            from pods of the node that was asked, and keeps the caller's address.
    """

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "Headless"] = "ClusterIP"
    node_port: Annotated[int, Field(ge=30000, le=32767, strict=True)] | None = None
    load_balancer_class: Annotated[str, Field(pattern=_CLASS)] | None = None
    source_ranges: tuple[Network, ...] = ()
    external_traffic_policy: Literal["Cluster", "Local"] | None = None

    def __init__(self, type: str = "ClusterIP", **values: Any) -> None:
        super().__init__(type=type, **values)

    @property
    def external(self) -> bool:
        """Whether it is reached from outside the cluster."""
        return self.type in ("NodePort", "LoadBalancer")

    @model_validator(mode="after")
    def _fits(self) -> ServiceType:
        outside = ("node_port", "external_traffic_policy")
        for field in outside if not self.external else ():
            if getattr(self, field) is not None:
                raise ValueError(f"{field} is given for a {self.type}; expected a NodePort or LoadBalancer")
        if self.type != "LoadBalancer" and self.load_balancer_class is not None:
            raise ValueError(f"load_balancer_class is given for a {self.type}; expected a LoadBalancer")
        if not self.external and self.source_ranges:
            raise ValueError(f"source_ranges is given for a {self.type}; expected a NodePort or LoadBalancer")
        if self.type == "NodePort" and self.source_ranges and self.external_traffic_policy == "Cluster":
            raise ValueError(
                "source_ranges of a NodePort with external_traffic_policy 'Cluster' would see the nodes' "
                "addresses, not the callers'; expected 'Local'"
            )
        return self


def as_service_type(value: Any) -> Any:
    """Return a ServiceType for a plain string; anything else as it is."""
    return ServiceType(value) if isinstance(value, str) else value


class ExternalName(Spec):
    """A name inside the cluster for a host elsewhere: a CNAME in the cluster's DNS.

    TLS and virtual hosts see the alias, not the host, unless the caller sends the host's own name.

    Attributes:
        name: name of the Service.
        host: DNS name that it stands for; not an IP address.
        namespace: None means the connection's namespace.
        labels: further labels.
    """

    name: Name
    host: Host
    namespace: Namespace | None = None
    labels: Labels = {}

    @model_validator(mode="after")
    def _no_wildcard(self) -> ExternalName:
        if self.host.startswith("*."):
            raise ValueError("host is a wildcard; expected one DNS name")
        return self
