"""The canary of a model service: a second workload, and the rule that sends it a share of the requests.

Two renderers of that rule: an Ingress with ingress-nginx's canary annotations, and a Gateway API HTTPRoute.
"""

from __future__ import annotations

from typing import Protocol

from mlk8s.render.bundle import apply_order
from mlk8s.render.common import Identity, Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.gateway import http_route
from mlk8s.render.routing import ingress, route_path
from mlk8s.render.service import render_workload
from mlk8s.spec.canary import Canary
from mlk8s.spec.route import ServiceType
from mlk8s.spec.service import ModelService

_NGINX = "nginx.ingress.kubernetes.io"
ANNOTATION = f"{_NGINX}/canary"
WEIGHT = f"{ANNOTATION}-weight"
BY_HEADER = f"{ANNOTATION}-by-header"
DEFAULT_HEADER = "X-Mlk8s-Canary"
"""Where a canary names no header: what checks that the controller honours it before it gets any weight."""


class TrafficRule(Protocol):
    """How a share of the requests is sent to a canary."""

    kind: str

    def split(self, stable: ModelService, canary: Canary, facts: RenderFacts, weight: int) -> Manifest:
        """Return the object that sends `weight` percent of the requests to the canary."""
        ...

    def whole(self, stable: ModelService, facts: RenderFacts) -> Manifest | None:
        """Return that object when there is no canary; None where it is to be deleted."""
        ...

    def weight(self, rule: Manifest) -> int | None:
        """Return the weight in a live object; None where it sends nothing to a canary."""
        ...

    def by_hand(self, name: str, namespace: str) -> str:
        """Return the kubectl command that takes the requests from a canary."""
        ...

    def sticky(self, stable: ModelService, facts: RenderFacts, cookie: str | None) -> Manifest | None:
        """Return the part of an object that keeps clients with their version; None where there is no way.

        Args:
            cookie: None takes it away.
        """
        ...


class IngressRule:
    """A second Ingress for the same host and path, with ingress-nginx's canary annotations.

    https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#canary
    """

    kind = "Ingress"

    def split(self, stable: ModelService, canary: Canary, facts: RenderFacts, weight: int) -> Manifest:
        """Return the canary's Ingress."""
        spec = canary_spec(stable, canary)
        annotations = {
            ANNOTATION: "true",
            WEIGHT: str(weight),
            BY_HEADER: canary.header or DEFAULT_HEADER,
        }
        return ingress(spec, facts, Identity(stable.name, "canary"), annotations)

    def whole(self, stable: ModelService, facts: RenderFacts) -> Manifest | None:  # noqa: ARG002
        """Return None: without its Ingress a canary gets nothing."""
        return None

    def weight(self, rule: Manifest) -> int | None:
        """Return the weight annotation's number; None where it is not there or no number."""
        annotations = rule["metadata"].get("annotations") or {}
        text = str(annotations.get(WEIGHT, ""))
        return int(text) if annotations.get(ANNOTATION) == "true" and text.isdigit() else None

    def by_hand(self, name: str, namespace: str) -> str:
        """Return the kubectl command that sets the weight to 0."""
        return f"`kubectl annotate ingress -n {namespace} {name} --overwrite {WEIGHT}=0`"

    def sticky(self, stable: ModelService, facts: RenderFacts, cookie: str | None) -> Manifest | None:
        """Return the annotations of the service's own Ingress: the canary's follows them.

        Its path is the service's own, so that services behind one host have a cookie each.
        """
        values = {
            "affinity": "cookie",
            "affinity-canary-behavior": "sticky",
            "session-cookie-name": cookie,
            "session-cookie-path": route_path(stable, facts),
        }
        annotations = {f"{_NGINX}/{key}": value for key, value in values.items()} if cookie else {}
        metadata = {"name": stable.name, "namespace": facts.namespace, "annotations": annotations}
        return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata}


class GatewayRule:
    """The service's own HTTPRoute with two backends.

    Args:
        gateway: NAMESPACE/NAME of the Gateway that the route hangs on.
    """

    kind = "HTTPRoute"

    def __init__(self, gateway: str) -> None:
        self.gateway = gateway

    def split(self, stable: ModelService, canary: Canary, facts: RenderFacts, weight: int) -> Manifest:
        """Return the service's HTTPRoute with weights, and with rules for the header's two values."""
        return http_route(stable, facts, self.gateway, weight=weight, header=canary.header or DEFAULT_HEADER)

    def whole(self, stable: ModelService, facts: RenderFacts) -> Manifest | None:
        """Return the service's HTTPRoute with the stable backend alone."""
        return http_route(stable, facts, self.gateway)

    def weight(self, rule: Manifest) -> int | None:
        """Return the canary backend's weight in the rule that has both backends."""
        for item in rule["spec"].get("rules") or ():
            backends = item.get("backendRefs") or []
            if len(backends) == 2:
                return int(backends[1].get("weight", 1))
        return None

    def by_hand(self, name: str, namespace: str) -> str:
        """Return the kubectl command that leaves the stable backend alone; the header's rules come first."""
        backend = f'[{{"name":"{name}","port":80}}]'
        patch = f'[{{"op":"replace","path":"/spec/rules/2/backendRefs","value":{backend}}}]'
        return f"`kubectl patch httproute -n {namespace} {name} --type=json -p '{patch}'`"

    def sticky(self, stable: ModelService, facts: RenderFacts, cookie: str | None) -> Manifest | None:  # noqa: ARG002
        """Return None: session persistence is no part of the Gateway API's standard channel."""
        return None


def traffic_rule(stable: ModelService) -> TrafficRule:
    """Return how a service's traffic is shared: by its HTTPRoute on a Gateway, else by a second Ingress."""
    gateway = stable.route.gateway if stable.route is not None else None
    return GatewayRule(gateway) if gateway is not None else IngressRule()


def canary_spec(stable: ModelService, canary: Canary) -> ModelService:
    """Return what the canary's pods are: the service with another model, and a fixed number of pods.

    Its Service is of the plain type: traffic comes by the stable one's way in, and a node port is taken once.
    """
    spec: ModelService = stable.replace(
        model=canary.model,
        digest=canary.digest,
        replicas=canary.replicas,
        autoscale=None,
        vertical=None,
        service_type=ServiceType(),
    )
    return spec


def promoted_spec(stable: ModelService, model: str, digest: str | None) -> ModelService:
    """Return the service with the canary's model and everything else as it was."""
    spec: ModelService = stable.replace(model=model, digest=digest)
    return spec


def render_canary(
    stable: ModelService,
    canary: Canary,
    facts: RenderFacts,
    *,
    weight: int,
) -> list[Manifest]:
    """Return every object of a canary in apply order; the traffic rule comes last.

    Args:
        stable: the service beside which it runs.
        weight: percent of the requests; 0 until its pods are ready.

    Raises:
        UsageError: when neither the spec nor the facts name an image or the object storage.
        ValueError: when the service has no route.
    """
    identity = Identity(stable.name, "canary")
    workload = render_workload(canary_spec(stable, canary), facts, identity, canary.replicas)
    return apply_order([*workload, traffic_rule(stable).split(stable, canary, facts, weight)])
