"""A FeatureJobSet as a JobSet, with its account and its policy."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME, Manifest, manifest
from mlk8s.render.container import container, container_configs, container_volumes
from mlk8s.render.facts import RenderFacts
from mlk8s.render.job import queue_label
from mlk8s.render.network import namespace_peer, network_policy
from mlk8s.render.pod import pod_basis
from mlk8s.render.scheduling import scheduling
from mlk8s.spec.jobset import FeatureJobSet, JobRole


def render_job_set(spec: FeatureJobSet, facts: RenderFacts) -> list[Manifest]:
    """Return ServiceAccount, ConfigMaps, NetworkPolicy and JobSet; the JobSet makes its headless Service."""
    selector = {NAME: spec.name, INSTANCE: spec.name, COMPONENT: "job-set"}
    labels = {**spec.labels, **selector, MANAGED_BY: MANAGER}
    body: Manifest = {
        "network": {"enableDNSHostnames": True, "subdomain": spec.name},
        "failurePolicy": {"maxRestarts": spec.max_restarts},
        "ttlSecondsAfterFinished": ceil(spec.ttl_after_finished),
        "replicatedJobs": [_role(spec, role, labels, selector) for role in spec.roles],
    }
    if spec.driver is not None:
        body["successPolicy"] = {"operator": "All", "targetReplicatedJobs": [spec.driver]}
    if spec.queue is not None:
        body["suspend"] = True  # Kueue lets it go
    peers = [{"podSelector": {"matchLabels": selector}}]
    policy = network_policy(
        spec.name,
        facts,
        labels,
        selector,
        ingress=[{"from": peers}],
        storage_endpoint=facts.storage_endpoint,
        egress=[{"to": [*peers, *map(namespace_peer, spec.allow_to)]}],
    )
    every = [item for role in spec.roles for item in role.containers]
    return [
        manifest(
            "v1", "ServiceAccount", spec.name, facts.namespace, labels, automountServiceAccountToken=False
        ),
        *container_configs(every, spec.name, facts.namespace, labels),
        policy,
        manifest(
            "jobset.x-k8s.io/v1alpha2",
            "JobSet",
            spec.name,
            facts.namespace,
            {**labels, **queue_label(spec.queue)},
            spec=body,
        ),
    ]


def _role(spec: FeatureJobSet, role: JobRole, labels: dict[str, str], selector: dict[str, str]) -> Manifest:
    """Return one replicated Job: indexed, so that its pods have stable DNS names."""
    pod: Manifest = {
        "restartPolicy": "Never",
        **pod_basis(spec, spec.name),
        "terminationGracePeriodSeconds": 30,
        **scheduling(role.scheduling, selector, soft_spread=False),
        "containers": [container(item) for item in role.containers],
    }
    volumes = container_volumes(role.containers, spec.name)
    if volumes:
        pod["volumes"] = volumes
    job = {
        "backoffLimit": role.backoff_limit,
        "activeDeadlineSeconds": ceil(spec.active_deadline),
        "completions": role.pods,
        "parallelism": role.pods,
        "completionMode": "Indexed",
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"name": role.name, "replicas": 1, "template": {"spec": job}}
