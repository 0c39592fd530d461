"""The way in: its address as seen from here, its controller, and whether that honours canary annotations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Forbidden, NotFound, Rejected
from mlk8s.render.common import BASE_PATH

if TYPE_CHECKING:
    from mlk8s.clients.platform import Platform

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
TRAEFIK_SINCE = (3, 7)  # https://github.com/traefik/traefik/pull/12739
_NGINX = "k8s.io/ingress-nginx"
# IngressClass.spec.controller of controllers that give these annotations no meaning.
_OTHERS = {
    "traefik.io/ingress-controller": "Traefik's own Ingress provider",
    "nginx.org/ingress-controller": "F5 NGINX Ingress Controller",
    "haproxy.org/ingress-controller": "HAProxy",
    "ingress-controllers.konghq.com/kong": "Kong",
    "projectcontour.io/ingress-controller": "Contour",
    "ingress.k8s.aws/alb": "AWS Load Balancer Controller",
}
_IMAGES = (
    ("Traefik", re.compile(r"(^|/)traefik$")),
    ("ingress-nginx", re.compile(r"(^|/)(ingress-nginx/controller|nginx-ingress-controller)$")),
    ("Higress", re.compile(r"(^|/)higress$|/higress/")),
)


@dataclass(frozen=True)
class Running:
    """A controller that runs: its product, its image's tag, and the workload that runs it."""

    product: str
    tag: str
    workload: str

    @property
    def version(self) -> tuple[int, ...] | None:
        """Version by the image's tag; None where the tag is none."""
        found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", self.tag)
        return tuple(int(part) for part in found.groups() if part) if found else None

    def __str__(self) -> str:
        return f"{self.product} {self.tag or '(no version)'} ({self.workload})"


@dataclass(frozen=True)
class Controller:
    """What serves the Ingresses of one class.

    Attributes:
        ingress_class: name of the class; None where there is none.
        controller: the class's `spec.controller`.
        running: the controllers found that may serve it.
        honours_canary: None where only trying tells.
        reason: one sentence, what was found.
    """

    ingress_class: str | None
    controller: str | None
    running: tuple[Running, ...]
    honours_canary: bool | None
    reason: str


@dataclass(frozen=True)
class WayIn:
    """How a service is reached from outside.

    Attributes:
        path: URL prefix.
        host: name that its rule has; None for every name.
        ingress_class: of its Ingress.
        tls: whether the way in terminates TLS.
        base: address of the service's own (a LoadBalancer's or a node's); None means the platform's Ingress.
    """

    path: str
    host: str | None
    ingress_class: str | None
    tls: bool = False
    base: str | None = None

    def address(self, platform: Platform) -> str | None:
        """Return where to connect; the host is a header and the name in TLS only: it need not resolve."""
        base = self.base or (platform.ingress_https_url if self.tls else platform.ingress_url)
        return None if base is None else base.rstrip("/") + self.path.rstrip("/")

    def url(self, platform: Platform) -> str | None:
        """Return the address that a user types: with the host's name, where there is one."""
        address = self.address(platform)
        if address is None or self.host is None or self.host.startswith("*"):
            return address
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit(parts._replace(netloc=f"{self.host}{port}"))


def find_controller(cluster: Cluster, ingress_class: str | None) -> Controller:
    """Find the controller of an ingress class; None means the cluster's default class.

    What may not be read (Forbidden) leaves it open whether canaries are honoured: trying tells.
    """
    try:
        found = _class(cluster, ingress_class)
    except Forbidden:
        return Controller(ingress_class, None, (), None, "IngressClasses may not be read with these rights")
    except NotFound:
        return Controller(ingress_class, None, (), False, f"there is no IngressClass {ingress_class!r}")
    if found is None:
        return Controller(
            None, None, (), False, "the Ingress has no class, and the cluster has no default one"
        )
    name = str(found["metadata"]["name"])
    return judge(name, str(found["spec"].get("controller") or ""), _running(cluster))


def judge(ingress_class: str, controller: str, running: Iterable[Running]) -> Controller:
    """Say whether the controller of a class honours ingress-nginx's canary annotations."""
    running = tuple(running)

    def verdict(honours: bool | None, reason: str, who: tuple[Running, ...] = ()) -> Controller:
        return Controller(ingress_class, controller, who, honours, f"class {ingress_class!r}: {reason}")

    if controller in _OTHERS:
        return verdict(False, f"{_OTHERS[controller]} ({controller}) ignores canary annotations")
    if controller == "higress.io/higress-controller":
        return verdict(True, "Higress honours canary annotations", running)
    if controller != _NGINX:
        return verdict(False, f"{controller or 'a controller without a name'} is unknown")
    if not running:
        return verdict(None, f"no controller for {controller} could be seen running")
    answers = {_honours(item) for item in running}
    listed = ", ".join(str(item) for item in running)
    if answers == {True}:
        return verdict(True, f"{listed} honours canary annotations", running)
    if answers == {False}:
        return verdict(False, f"{listed} ignores canary annotations", running)
    return verdict(None, f"{listed}: which of them serves it, or its version, cannot be told", running)


def require_canary(found: Controller) -> None:
    """Refuse a controller that would ignore a canary.

    Raises:
        Rejected: names what was found and what honours canaries.
    """
    if found.honours_canary is False:
        raise Rejected(
            f"a canary would be ignored: {found.reason}",
            where=f"IngressClass {found.ingress_class}" if found.ingress_class else "the service's Ingress",
            expected="ingress-nginx, Higress, or Traefik >= 3.7 with its kubernetesIngressNGINX provider, "
            f"and an IngressClass of controller {_NGINX}",
            next_step="`mlk8s doctor` shows the controllers; give Route(ingress_class=...) another class",
        )


def way_in(cluster: Cluster, service: str, namespace: str) -> WayIn | None:
    """Return how a service is reached from outside; None where it is not.

    Looked for in this order: its live Ingress, its HTTPRoute, its Service's own load balancer or node port.
    """
    ingress = cluster.find("Ingress", service, namespace)
    if ingress is not None:
        rule = ingress["spec"]["rules"][0]
        host = rule.get("host")
        tls = any(host in (item.get("hosts") or ()) for item in ingress["spec"].get("tls") or ())
        path = _base_path(ingress, rule["http"]["paths"][0]["path"])
        return WayIn(path, host, ingress["spec"].get("ingressClassName"), tls)
    try:
        route = cluster.find("HTTPRoute", service, namespace)
    except Forbidden:
        route = None
    if route is not None:
        match = route["spec"]["rules"][-1]["matches"][0]
        path = _base_path(route, match["path"]["value"])
        parent = route["spec"]["parentRefs"][0]
        gateway = f"{parent.get('namespace', namespace)}/{parent['name']}"
        tls = terminates_tls(cluster, gateway, parent.get("sectionName"))
        return WayIn(path, (route["spec"].get("hostnames") or [None])[0], None, tls)
    base = _own_address(cluster, cluster.find("Service", service, namespace) or {})
    return WayIn(f"/{namespace}/{service}", None, None, base=base) if base is not None else None


def _base_path(rule: dict[str, Any], first: str) -> str:
    """Return the prefix that the server knows: of a rule that lets in parts of it only, as noted there."""
    return str((rule["metadata"].get("annotations") or {}).get(BASE_PATH, first))


def terminates_tls(cluster: Cluster, gateway: str, listener: str | None) -> bool:
    """Return whether a Gateway, or one listener of it, listens with TLS only, as far as one may see.

    Args:
        gateway: NAMESPACE/NAME.
    """
    namespace, _, name = gateway.partition("/")
    try:
        found = cluster.find("Gateway", name, namespace)
    except Forbidden:
        return False
    listeners = ((found or {}).get("spec") or {}).get("listeners") or []
    return {item["protocol"] for item in listeners if listener in (None, item["name"])} == {"HTTPS"}


def _own_address(cluster: Cluster, service: dict[str, Any]) -> str | None:
    """Return the base URL of a Service's load balancer, else of its node port on the first node."""
    port = ((service.get("spec") or {}).get("ports") or [{}])[0]
    balancer = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if balancer:
        return f"http://{balancer[0].get('ip') or balancer[0].get('hostname')}:{port['port']}"
    if not port.get("nodePort"):
        return None
    try:
        nodes = cluster.list("Node")
    except Forbidden:
        return None
    addresses = {item["type"]: item["address"] for node in nodes[:1] for item in node["status"]["addresses"]}
    address = addresses.get("ExternalIP") or addresses.get("InternalIP")
    return f"http://{address}:{port['nodePort']}" if address else None


def product(image: str) -> Running | None:
    """Return the controller that an image is; None for any other image."""
    path, _, digest = image.partition("@")
    name, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        name, tag = path, ""
    for known, pattern in _IMAGES:
        if pattern.search(name):
            return Running(known, tag or digest[:19], "")
    return None


def _honours(item: Running) -> bool | None:
    if item.product != "Traefik":
        return True
    return None if item.version is None else item.version >= TRAEFIK_SINCE


def _class(cluster: Cluster, name: str | None) -> dict[str, Any] | None:
    if name is not None:
        return cluster.get("IngressClass", name)
    for item in cluster.list("IngressClass"):
        if (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true":
            return item
    return None


def _running(cluster: Cluster) -> list[Running]:
    found = []
    for kind in ("Deployment", "DaemonSet"):
        try:
            workloads = cluster.list(kind, all_namespaces=True)
        except ClusterError:
            continue  # not allowed to look into every namespace: trying will tell
        for item in workloads:
            if not item.get("status", {}).get("readyReplicas", item.get("status", {}).get("numberReady")):
                continue
            where = f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}"
            images = [one["image"] for one in item["spec"]["template"]["spec"]["containers"]]
            seen = [product(image) for image in images]
            found += [Running(one.product, one.tag, where) for one in seen if one is not None]
    return found
