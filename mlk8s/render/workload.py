"""A StatefulSet or DaemonSet of the user's own containers, with all that a good one stands among."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME, Manifest, manifest
from mlk8s.render.configuration import secrets_annotation
from mlk8s.render.container import container, container_configs, container_volumes, sidecar
from mlk8s.render.facts import RenderFacts
from mlk8s.render.network import namespace_peer, network_policy
from mlk8s.render.pod import pod_basis
from mlk8s.render.scheduling import scheduling
from mlk8s.render.volume import claim_spec
from mlk8s.spec.container import Container
from mlk8s.spec.workload import DaemonSet, StatefulSet, Workload

_HISTORY = 5  # revisions that stay, to go back to
_REVISION = "controller-revision-hash"


def render_stateful_set(spec: StatefulSet, facts: RenderFacts) -> list[Manifest]:
    """Return ServiceAccount, ConfigMaps, NetworkPolicy, headless Service, PDB, StatefulSet."""
    labels, selector = workload_labels(spec), workload_selector(spec)
    body: Manifest = {
        "serviceName": spec.name,
        "replicas": spec.replicas,
        "revisionHistoryLimit": _HISTORY,
        "minReadySeconds": ceil(spec.min_ready),
        "podManagementPolicy": spec.pod_management,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": spec.partition}},
        "selector": {"matchLabels": selector},
        "template": pod_template(spec, facts),
    }
    if spec.storage:
        body["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": "Retain" if spec.storage[0].retain else "Delete",
            "whenScaled": spec.when_scaled,
        }
        body["volumeClaimTemplates"] = [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                # No label of `Kubernetes.apply`'s own: the claims follow the policy above, not the spec.
                "metadata": {"name": item.name, "labels": {**item.labels, **selector}},
                "spec": claim_spec(item),
            }
            for item in spec.storage
        ]
    budget = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector},
    }
    return [
        *workload_surroundings(spec, facts),
        _headless(spec, facts),
        manifest("policy/v1", "PodDisruptionBudget", spec.name, facts.namespace, labels, spec=budget),
        manifest("apps/v1", "StatefulSet", spec.name, facts.namespace, labels, spec=body),
    ]


def render_daemon_set(spec: DaemonSet, facts: RenderFacts) -> list[Manifest]:
    """Return ServiceAccount, ConfigMaps, NetworkPolicy and DaemonSet."""
    return [*workload_surroundings(spec, facts), daemon_set(spec, facts)]


def daemon_set(spec: DaemonSet, facts: RenderFacts) -> Manifest:
    """Return the DaemonSet alone."""
    body = {
        "revisionHistoryLimit": _HISTORY,
        "minReadySeconds": ceil(spec.min_ready),
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": spec.max_unavailable, "maxSurge": 0},
        },
        "selector": {"matchLabels": workload_selector(spec)},
        "template": pod_template(spec, facts),
    }
    return manifest("apps/v1", "DaemonSet", spec.name, facts.namespace, workload_labels(spec), spec=body)


def workload_selector(spec: Workload) -> dict[str, str]:
    """Return the labels that select a workload's pods; they never change."""
    component = "stateful-set" if isinstance(spec, StatefulSet) else "daemon-set"
    return {NAME: spec.name, INSTANCE: spec.name, COMPONENT: component}


def workload_labels(spec: Workload) -> dict[str, str]:
    """Return the labels of every object of a workload; mlk8s's own win over the user's."""
    return {**spec.labels, **workload_selector(spec), MANAGED_BY: MANAGER}


def workload_surroundings(
    spec: Workload, facts: RenderFacts, *, storage_endpoint: str | None = None
) -> list[Manifest]:
    """Return ServiceAccount (without rights and token), ConfigMaps of files, and NetworkPolicy."""
    labels = workload_labels(spec)
    ports = [port for item in (*spec.sidecars, *spec.containers) for port in item.ports.values()]
    callers: list[Manifest] = [{"podSelector": {}}, *map(namespace_peer, spec.allow_from)]
    rule = {"from": callers, "ports": [{"protocol": "TCP", "port": port} for port in ports]}
    return [
        manifest(
            "v1", "ServiceAccount", spec.name, facts.namespace, labels, automountServiceAccountToken=False
        ),
        *container_configs(spec.every_container, spec.name, facts.namespace, labels),
        network_policy(
            spec.name,
            facts,
            labels,
            workload_selector(spec),
            ingress=[rule] if ports else [],
            storage_endpoint=storage_endpoint,
            egress=[{"to": [{"podSelector": {}}, *map(namespace_peer, spec.allow_to)]}],
        ),
    ]


def pod_template(spec: Workload, facts: RenderFacts) -> Manifest:
    """Return the pods' template; it passes the Pod Security Standard `restricted`."""
    stateful = isinstance(spec, StatefulSet)
    body: Manifest = {
        **pod_basis(spec, spec.name),
        "terminationGracePeriodSeconds": ceil(spec.grace_period),
        **scheduling(
            spec.scheduling, workload_selector(spec), revision=_REVISION if stateful else None,
            soft_spread=stateful,
        ),
    }  # fmt: skip
    first = [container(item) for item in spec.init] + [sidecar(item) for item in spec.sidecars]
    if first:
        body["initContainers"] = first
    body["containers"] = [container(item) for item in spec.containers]
    if isinstance(spec, StatefulSet):
        body["containers"][0]["volumeMounts"] += _unclaimed_mounts(spec)
    volumes = container_volumes(spec.every_container, spec.name)
    if volumes:
        body["volumes"] = volumes
    metadata: Manifest = {"labels": workload_labels(spec)}
    annotations = secrets_annotation(spec.every_container, facts.secret_versions)
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": body}


def _unclaimed_mounts(spec: StatefulSet) -> list[Manifest]:
    """Return the mounts of the storage that no container names itself."""
    named = {name for item in spec.every_container for name in item.mounts.values()}
    return [
        {"name": item.name, "mountPath": item.mounted_at} for item in spec.storage if item.name not in named
    ]


def _headless(spec: StatefulSet, facts: RenderFacts) -> Manifest:
    """Return the Service that gives each pod its DNS name, and NAME the addresses of all."""
    body: Manifest = {"clusterIP": "None", "selector": workload_selector(spec)}
    if spec.publish_not_ready:
        body["publishNotReadyAddresses"] = True
    ports = [_service_port(item) for item in (*spec.sidecars, *spec.containers)]
    listed = [port for item in ports for port in item]
    if listed:
        body["ports"] = listed
    return manifest("v1", "Service", spec.name, facts.namespace, workload_labels(spec), spec=body)


def _service_port(item: Container) -> list[Manifest]:
    return [
        {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
        for name, port in item.ports.items()
    ]
