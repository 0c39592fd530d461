"""The way in: its address as seen from here, its controller, and whether that honours canary annotations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Forbidden, NotFound, Rejected

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
    """How a service is reached from outside: path, host of its rule, and class of its Ingress."""

    path: str
    host: str | None
    ingress_class: str | None

    def url(self, ingress_url: str) -> str:
        """Return the service's address at the way in; its host is only a header: it need not resolve here."""
        return ingress_url.rstrip("/") + self.path.rstrip("/")


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
    """Return how a service is reached from outside, by its live Ingress or HTTPRoute; None without one."""
    ingress = cluster.find("Ingress", service, namespace)
    if ingress is not None:
        rule = ingress["spec"]["rules"][0]
        path = str(rule["http"]["paths"][0]["path"])
        return WayIn(path, rule.get("host"), ingress["spec"].get("ingressClassName"))
    try:
        route = cluster.find("HTTPRoute", service, namespace)
    except Forbidden:
        route = None
    if route is None:
        return None
    match = route["spec"]["rules"][-1]["matches"][0]
    return WayIn(str(match["path"]["value"]), (route["spec"].get("hostnames") or [None])[0], None)


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
