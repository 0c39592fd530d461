"""One ModelService as Kubernetes objects."""

from __future__ import annotations

from mlk8s.render.bundle import apply_order
from mlk8s.render.common import COMPONENT, NAME, Identity, Manifest, Track, service_labels
from mlk8s.render.configuration import config_maps
from mlk8s.render.container import container_configs
from mlk8s.render.deployment import config_map, deployment, model_source, service_account, storage_endpoint
from mlk8s.render.dra import claim_templates
from mlk8s.render.facts import RenderFacts
from mlk8s.render.gateway import http_route
from mlk8s.render.keda import scaled_object
from mlk8s.render.network import namespace_peer, network_policy, way_to
from mlk8s.render.routing import PORT, cluster_service, ingress
from mlk8s.render.scaling import autoscaler, disruption_budget
from mlk8s.render.vertical import vertical_autoscaler
from mlk8s.render.volume import claims
from mlk8s.spec.pods import SERVER
from mlk8s.spec.route import ServiceType
from mlk8s.spec.service import ModelService


def render_service(spec: ModelService, facts: RenderFacts, track: Track = "stable") -> list[Manifest]:
    """Return every object of a service in apply order.

    ServiceAccount, ConfigMap, NetworkPolicy, Service, PodDisruptionBudget, Deployment, and where the spec
    asks for them HorizontalPodAutoscaler or ScaledObject, VerticalPodAutoscaler, and Ingress or HTTPRoute.

    Args:
        track: the workload that has the requests: `green` for a blue/green service that serves from there.

    Raises:
        UsageError: when neither the spec nor the facts name an image or the object storage.
    """
    identity, workload = Identity(spec.name), Identity(spec.name, track)
    replicas = spec.replicas if spec.autoscale is None else None
    manifests = [*render_workload(spec, facts, workload, replicas), service_policy(spec, facts)]
    manifests += claims(spec.volumes, spec.name, facts.namespace, service_labels(spec, identity))
    if spec.autoscale is not None:
        scaler = scaled_object if spec.autoscale.scaler == "keda" else autoscaler
        manifests.append(scaler(spec, facts, workload, spec.autoscale))
    if spec.vertical is not None:
        manifests.append(vertical_autoscaler(spec, facts, workload, spec.vertical))
    if spec.route is not None and spec.route.gateway is not None:
        manifests.append(http_route(spec, facts, spec.route.gateway))
    elif spec.route is not None:
        manifests.append(ingress(spec, facts, identity))
    return apply_order(manifests)


def render_workload(
    spec: ModelService, facts: RenderFacts, identity: Identity, replicas: int | None
) -> list[Manifest]:
    """Return the pods of one track and what is theirs alone, without an Ingress: no traffic reaches them yet.

    Raises:
        UsageError: when neither the spec nor the facts name an image or the object storage.
    """
    config = config_map(spec, facts, identity)
    labels = service_labels(spec, identity)
    return [
        service_account(spec, facts, identity),
        config,
        *config_maps(spec, SERVER, identity.instance, facts.namespace, labels),
        *container_configs((*spec.init, *spec.sidecars), identity.instance, facts.namespace, labels),
        *claim_templates(spec.gpu, identity.instance, facts.namespace, labels),
        cluster_service(spec, facts, identity),
        disruption_budget(spec, facts, identity),
        deployment(spec, facts, identity, config, replicas),
    ]


def service_policy(spec: ModelService, facts: RenderFacts) -> Manifest:
    """Return the NetworkPolicy of a service's pods, those of a canary included.

    The ingress controller and Prometheus may call them; a service without a route is for its own namespace.
    """
    identity = Identity(spec.name)
    callers: list[Manifest] = [] if spec.route is not None else [{"podSelector": {}}]
    wanted = (facts.ingress_namespace if spec.route is not None else None, facts.prometheus_namespace)
    callers += [namespace_peer(name) for name in dict.fromkeys(wanted) if name is not None]
    callers += _outside(spec.service_type)
    rules: list[Manifest] = []
    if callers:
        rules = [{"from": callers, "ports": [{"protocol": "TCP", "port": PORT}]}]
    return network_policy(
        spec.name,
        facts,
        service_labels(spec, identity),
        {key: identity.selector[key] for key in (NAME, COMPONENT)},
        ingress=rules,
        storage_endpoint=storage_endpoint(spec, facts) if model_source(spec).s3 else None,
        egress=[way_to(host, facts) for host in model_source(spec).hosts],
    )


def _outside(kind: ServiceType) -> list[Manifest]:
    """Return the peers of a Service that is reached from outside.

    Without policy `Local` another node may hand the request on under its own address: the Service's source
    ranges decide then, not the policy.
    """
    if not kind.external:
        return []
    everybody = ("0.0.0.0/0", "::/0")
    ranges = kind.source_ranges if kind.external_traffic_policy != "Cluster" else ()
    return [{"ipBlock": {"cidr": cidr}} for cidr in ranges or everybody]
