"""A load test in the cluster: a Job with Locust's master, and an Indexed Job with its workers.

The ConfigMap that every pod mounts comes first, then the master's Job, which owns everything: with it, or
some time after its end, all of it goes, whatever became of the process that started the test. Its
`activeDeadlineSeconds` is a lease that this process renews: without it the master is stopped, and a master
that is stopped stops its workers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from mlk8s.loadgen.settings import GIVEN, MASTER, PORT, RESULTS
from mlk8s.render.common import COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME, Manifest, manifest
from mlk8s.render.facts import RenderFacts
from mlk8s.render.network import network_policy
from mlk8s.render.pod import (
    UNMOVABLE,
    container_security,
    empty_dir,
    env,
    pod_basis,
    resources,
    tmp_mount,
)
from mlk8s.spec.resources import Resources
from mlk8s.spec.workers import Workers

TARGET = "mlk8s.dev/load-test-of"
"""Label with the service that is loaded."""
KEPT = 60
"""Seconds after which a load test whose process is gone is removed."""
CONTAINER = "locust"
_MASTER_SIZE = Resources(cpu="100m", cpu_limit="1", memory="256Mi")
_MASTER, _WORKER = "load-master", "load-worker"


@dataclass(frozen=True, kw_only=True)
class LoadJob:
    """One load test in a cluster.

    Attributes:
        name: of every object of it, or how it begins.
        service: what is loaded.
        workers: the pods that send.
        image: of master and workers.
        files: what the load generator reads: its settings, the request, a trace, authorities.
        target: a rule of a NetworkPolicy's egress, which leads to what is loaded.
        grace: seconds that requests in flight may take.
        lease: seconds after which the master is stopped unless its deadline is moved.
        longest: seconds after which the workers are stopped in any case.
    """

    name: str
    service: str
    workers: Workers
    image: str
    files: Mapping[str, bytes]
    target: Manifest
    grace: float
    lease: float
    longest: float

    @property
    def master(self) -> str:
        """Name of the master's Job."""
        return f"{self.name}-master"

    @property
    def labels(self) -> dict[str, str]:
        """Labels that all its objects have."""
        return {NAME: self.name, INSTANCE: self.name, TARGET: self.service, MANAGED_BY: MANAGER}

    @property
    def selector(self) -> str:
        """Selects its pods."""
        return f"{NAME}={self.name},{TARGET}={self.service}"

    def worker_of(self, pod: Manifest) -> int | None:
        """Return the number, from 1, of the worker that a pod is; None for the master."""
        if pod["metadata"]["labels"].get(COMPONENT) == _MASTER:
            return None
        return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]) + 1


def render_master(job: LoadJob, facts: RenderFacts) -> Manifest:
    """Return the master's Job, the owner of the other objects."""
    body = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": ceil(job.lease),
        "ttlSecondsAfterFinished": KEPT,
        "podReplacementPolicy": "Failed",
        "template": _pod(job, _MASTER, _MASTER_SIZE, ["master"], {}),
    }
    return manifest("batch/v1", "Job", job.master, facts.namespace, _labels(job, _MASTER), spec=body)


def render_files(job: LoadJob, facts: RenderFacts) -> Manifest:
    """Return the ConfigMap that every pod mounts, still without its owner: the first object."""
    data = {name: base64.b64encode(content).decode() for name, content in job.files.items()}
    return manifest("v1", "ConfigMap", job.name, facts.namespace, job.labels, immutable=True, binaryData=data)


def render_workers(job: LoadJob, facts: RenderFacts, owner: Manifest) -> list[Manifest]:
    """Return what the master's Job owns in apply order: ConfigMap, policies, Service, the workers' Job.

    A worker is never replaced: another one would begin in the middle, with other connections.

    Args:
        owner: the master's Job as the cluster has it.
    """
    space = facts.namespace
    port = {"protocol": "TCP", "port": PORT}
    masters, workers = ({"podSelector": {"matchLabels": _selector(job, role)}} for role in (_MASTER, _WORKER))
    body = {
        "completionMode": "Indexed",
        "completions": job.workers.count,
        "parallelism": job.workers.count,
        "backoffLimitPerIndex": 0,
        "activeDeadlineSeconds": ceil(job.longest),
        "ttlSecondsAfterFinished": KEPT,
        "podReplacementPolicy": "Failed",
        "template": _pod(
            job, _WORKER, job.workers.resources, ["worker"], {MASTER: f"{job.name}.{space}.svc"}
        ),
    }
    service = {"selector": _selector(job, _MASTER), "ports": [{"name": "locust", **port, "targetPort": PORT}]}
    made = [
        render_files(job, facts),
        network_policy(
            job.master, facts, _labels(job, _MASTER), _selector(job, _MASTER),
            ingress=[{"from": [workers], "ports": [port]}], storage_endpoint=None,
        ),
        network_policy(
            job.name, facts, _labels(job, _WORKER), _selector(job, _WORKER),
            ingress=[], storage_endpoint=None, egress=[{"to": [masters], "ports": [port]}, job.target],
        ),
        manifest("v1", "Service", job.name, space, job.labels, spec=service),
        manifest("batch/v1", "Job", job.name, space, _labels(job, _WORKER), spec=body),
    ]  # fmt: skip
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job.master, "uid": owner["metadata"]["uid"]}
    for item in made:
        item["metadata"]["ownerReferences"] = [reference]
    return made


def _labels(job: LoadJob, role: str) -> dict[str, str]:
    return {**job.labels, COMPONENT: role}


def _selector(job: LoadJob, role: str) -> dict[str, str]:
    return {NAME: job.name, INSTANCE: job.name, COMPONENT: role}


def _pod(job: LoadJob, role: str, size: Resources, command: list[str], values: dict[str, str]) -> Manifest:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": job.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "mlk8s.loadgen.pod", *command],
        "env": env({"HOME": "/tmp", **values}),  # noqa: S108 - a volume of the pod's own
        "resources": resources(size),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "settings", "mountPath": str(GIVEN), "readOnly": True},
            {"name": "results", "mountPath": str(RESULTS)},
            tmp_mount(),
        ],
    }
    settings = {"name": "settings", "configMap": {"name": job.name, "defaultMode": 0o444}}
    spec = {
        "restartPolicy": "Never",
        **pod_basis(job.workers, "default"),
        "terminationGracePeriodSeconds": ceil(job.grace) + 5,
        "affinity": {"podAntiAffinity": _apart(job)},
        "containers": [container],
        "volumes": [
            settings,
            empty_dir("results", size.ephemeral_storage),
            empty_dir("tmp", size.ephemeral_storage),
        ],
    }
    if role == _MASTER:
        del spec["affinity"]
    return {"metadata": {"labels": _labels(job, role), "annotations": dict(UNMOVABLE)}, "spec": spec}


def _apart(job: LoadJob) -> Manifest:
    """Prefer nodes without the pods that are loaded, then nodes without other workers."""
    terms = [(100, {NAME: job.service}), (50, _selector(job, _WORKER))]
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": weight,
                "podAffinityTerm": {
                    "labelSelector": {"matchLabels": labels},
                    "topologyKey": "kubernetes.io/hostname",
                },
            }
            for weight, labels in terms
        ]
    }
