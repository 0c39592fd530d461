"""The two colours of a blue/green service, and the way to the idle one.

Blue is the service's ordinary workload, green a second one beside it. The service's own Service selects the
pods of one colour: that selector is the switch. The idle colour has a Service of its own, SERVICE-preview.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from mlk8s.render.canary import ANNOTATION, BY_HEADER, WEIGHT
from mlk8s.render.common import INSTANCE, Identity, Manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.routing import PORT, cluster_service, ingress, route_path
from mlk8s.render.service import render_workload, service_policy
from mlk8s.spec.route import ServiceType
from mlk8s.spec.service import ModelService

Colour = Literal["blue", "green"]
PREVIEW_HEADER = "X-Mlk8s-Preview"
"""A request with `X-Mlk8s-Preview: always` is led to the idle colour, by the controller's canary rule."""


def identity(service: str, colour: Colour) -> Identity:
    """Return the workload that is one colour of a service."""
    return Identity(service, "stable" if colour == "blue" else "green")


def other(colour: Colour) -> Colour:
    """Return the other colour."""
    return "green" if colour == "blue" else "blue"


def live_colour(service: Mapping[str, Any]) -> Colour:
    """Return the colour that a live Service sends its requests to."""
    metadata, selector = service["metadata"], service["spec"].get("selector") or {}
    return "green" if selector.get(INSTANCE) == identity(metadata["name"], "green").instance else "blue"


def by_hand(service: str, namespace: str, colour: Colour) -> str:
    """Return the kubectl command that gives all requests to a colour, whatever its size."""
    selector = json.dumps({"spec": {"selector": {INSTANCE: identity(service, colour).instance}}})
    return f"`kubectl patch service -n {namespace} {service} -p '{selector}'`"


def render_idle(spec: ModelService, facts: RenderFacts, colour: Colour, replicas: int) -> list[Manifest]:
    """Return the idle colour's pods, their policy, and the Service that leads to them, without requests yet.

    Raises:
        UsageError: when neither the spec nor the facts name an image or the object storage.
    """
    workload = render_workload(spec, facts, identity(spec.name, colour), replicas)
    own = [item for item in workload if item["kind"] != "Service"]
    return [service_policy(spec, facts), *own, preview_service(spec, facts, colour)]


def idle_size(spec: ModelService, live: int) -> int:
    """Return how many pods an idle colour starts with: what its spec asks for, and no fewer than the live."""
    return max(spec.autoscale.min if spec.autoscale is not None else spec.replicas, live)


def preview_service(spec: ModelService, facts: RenderFacts, idle: Colour) -> Manifest:
    """Return the Service SERVICE-preview, which leads to the idle colour from inside the cluster only."""
    inside = spec.replace(service_type=ServiceType())
    service = cluster_service(inside, facts, Identity(spec.name, "preview"))
    service["spec"]["selector"] = identity(spec.name, idle).selector
    return service


def preview_rule(spec: ModelService, facts: RenderFacts) -> Manifest | None:
    """Return the Ingress that leads requests with the preview header to the idle colour.

    None where the service has no Ingress: an HTTPRoute is left alone, and the Service is the only preview.
    """
    if spec.route is None or spec.route.gateway is not None:
        return None
    annotations = {ANNOTATION: "true", WEIGHT: "0", BY_HEADER: PREVIEW_HEADER}
    return ingress(spec, facts, Identity(spec.name, "preview"), annotations)


def preview_address(spec: ModelService, facts: RenderFacts) -> str:
    """Return the idle colour's address inside the cluster."""
    path = route_path(spec, facts).rstrip("/")
    return f"http://{Identity(spec.name, 'preview').instance}.{facts.namespace}.svc:{PORT}{path}"


def same_pods(one: ModelService, two: ModelService, facts: RenderFacts) -> bool:
    """Whether two specs make the same pods, so that going from one to the other needs no second colour."""
    templates = []
    for spec in (one, two):
        workload = render_workload(spec, facts, Identity(spec.name), 1)
        deployment = next(item for item in workload if item["kind"] == "Deployment")
        templates.append(deployment["spec"]["template"])
    return bool(templates[0] == templates[1])
