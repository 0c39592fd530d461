"""What a service's way in needs, checked before anything is written; and whether a Gateway took the route."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPException

from mlk8s.assess.gateway import route_accepted, route_refusal
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.traffic import way_in
from mlk8s.errors import Conflict, Forbidden, NotFound, RolloutFailed
from mlk8s.operations.entry import READY, ask
from mlk8s.operations.tls import require_tls_secret
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]
ROUTE = "gateway.networking.k8s.io/v1/HTTPRoute"
_TIMEOUT = 15.0
_REACH = 5.0  # seconds that kube-proxy, or a cloud that has answered, may take
_POLL = 0.1


def require_way_in(cluster: Cluster, platform: Platform, spec: ModelService, namespace: str) -> None:
    """Check what the spec's route and Service type refer to.

    Raises:
        NotFound: the cluster has no such IngressClass, Secret, Gateway or listener, or no Gateway API.
        Rejected: the Secret's certificate cannot be used for the host.
        Conflict: the live Service cannot become what the spec asks for.
    """
    route = spec.route
    if route is not None and route.tls is not None and route.host is not None:
        require_tls_secret(cluster, namespace, route.tls, route.host)
    if route is not None and route.gateway is not None:
        _require_gateway(cluster, platform, route.gateway, route.listener)
    if route is not None and route.ingress_class is not None:
        _require_class(cluster, route.ingress_class)
    live = cluster.find("Service", spec.name, namespace)
    if live is None or live["spec"].get("type") == "ExternalName":
        return
    headless = live["spec"].get("clusterIP") == "None"
    if headless != (spec.service_type.type == "Headless"):
        was, wanted = (
            ("headless", "one with an address") if headless else ("no headless one", "a headless one")
        )
        raise Conflict(
            f"Service {spec.name!r} is {was}, and Kubernetes never makes {wanted} of it",
            where=f"namespace {namespace!r}",
            expected="the same kind as before; nothing was written",
            next_step=f"`kubectl delete service {spec.name} -n {namespace}`, then deploy again",
        )


def _require_class(cluster: Cluster, name: str) -> None:
    try:
        there = [item["metadata"]["name"] for item in cluster.list("IngressClass")]
    except Forbidden:
        return  # what does not answer in the end is told
    if name not in there:
        raise NotFound(
            f"there is no IngressClass {name!r}",
            where=f"context {cluster.context!r}",
            expected=f"one of: {', '.join(there)}; nothing was written" if there else "an ingress controller",
            next_step="leave the class out for the cluster's own",
        )


def _require_gateway(cluster: Cluster, platform: Platform, gateway: str, listener: str | None) -> None:
    namespace, _, name = gateway.partition("/")
    if not cluster.serves(ROUTE):
        raise NotFound(
            "the cluster has no Gateway API: nothing serves HTTPRoute",
            where=f"context {cluster.context!r}",
            expected="the CRDs of gateway.networking.k8s.io/v1 and a controller; nothing was written",
            next_step="leave `gateway` out for an Ingress, or install the Gateway API",
        )
    try:
        found = cluster.find("Gateway", name, namespace)
    except Forbidden:
        return  # who may only hang routes on it often may not read it; the route's status tells
    if found is None:
        raise NotFound(
            f"there is no Gateway {gateway!r}",
            where=f"context {cluster.context!r}",
            expected=f"a Gateway that is there; the platform's is {platform.gateway}"
            if platform.gateway
            else None,
            next_step="`kubectl get gateways --all-namespaces` lists them",
        )
    listeners = [item["name"] for item in found["spec"].get("listeners") or ()]
    if listener is not None and listener not in listeners:
        raise NotFound(
            f"Gateway {gateway!r} has no listener {listener!r}", expected=f"one of: {', '.join(listeners)}"
        )


def wait_for_gateway(cluster: Cluster, spec: ModelService, namespace: str, *, say: Say) -> None:
    """Wait until a Gateway has taken the service's HTTPRoute; nothing happens without one.

    Raises:
        RolloutFailed: it refuses; the message has the controller's reason.
    """
    if spec.route is None or spec.route.gateway is None:
        return
    end = time.monotonic() + _TIMEOUT
    while True:
        route = cluster.get(ROUTE, spec.name, namespace)
        refusal = route_refusal(route)
        if refusal is not None:
            raise RolloutFailed(
                f"{spec.name}: Gateway {spec.route.gateway} does not take its route: {refusal}",
                where=f"HTTPRoute {namespace}/{spec.name}, status.parents",
                expected="the condition Accepted with status True",
                next_step=f"`kubectl describe gateway -n {spec.route.gateway.replace('/', ' ')}` shows whose "
                "routes and which hosts its listeners allow",
            )
        if route_accepted(route):
            return
        if time.monotonic() > end:
            say(f"{spec.name}: no controller has said within {_TIMEOUT:g} s whether it takes the route")
            return
        time.sleep(_POLL)


def wait_for_address(
    cluster: Cluster, platform: Platform, spec: ModelService, namespace: str, *, say: Say
) -> None:
    """Wait until a service answers at its load balancer or node port; in a cloud that may be minutes later.

    That it does not answer from here is only said: who may call is up to source ranges and the network.
    """
    if not spec.service_type.external or spec.route is not None:
        return
    end = time.monotonic() + _TIMEOUT
    while True:
        found = way_in(cluster, spec.name, namespace)
        url = found.address(platform) if found is not None else None
        if url is not None:
            break
        if spec.service_type.type == "NodePort":
            return  # the nodes' addresses may not be read with these rights
        if time.monotonic() > end:
            say(f"{spec.name}: no load balancer has given it an address after {_TIMEOUT:g} s; the pods serve")
            return
        time.sleep(_POLL)
    end = time.monotonic() + _REACH
    while not _answers(url):
        if time.monotonic() > end:
            say(f"{spec.name}: {url} does not answer from here; the pods are ready")
            return
        time.sleep(_POLL)


def _answers(url: str) -> bool:
    try:
        return ask(url + READY, None)[0] == 200
    except (OSError, HTTPException):
        return False
