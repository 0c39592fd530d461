"""Bring a fault about in a namespace of its own, and take everything of it away again."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

from faults import Fault
from scene import Scene

from mlk8s.clients.cluster import Cluster
from mlk8s.errors import ClusterError, Rejected

_PATIENCE = 40.0  # seconds until the API server does what it was told
_CLUSTER_WIDE = (
    "PersistentVolume",
    "StorageClass",
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
)
"""Kinds whose objects carry the name of the namespace they were made for."""


def inject(cluster: Cluster, fault: Fault, image: str) -> Scene:
    """Make the namespace and everything of a fault; return where it is."""
    node = cluster.list("Node")[0]["metadata"]["name"]
    scene = Scene(f"why-{fault.name}-{uuid.uuid4().hex[:5]}", image, node)
    metadata = {"name": scene.namespace, "labels": {"test": "why", **fault.labels}}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        _bring_about(cluster, fault, scene)
    except BaseException:
        remove(cluster, scene)
        raise
    return scene


def _bring_about(cluster: Cluster, fault: Fault, scene: Scene) -> None:
    *before, last = fault.make(scene)
    for manifest in before:
        create(cluster, manifest)
    if fault.refused:
        until_refused(cluster, last, fault.words)
    create(cluster, last)
    if fault.deletes:
        kind, _, name = fault.deletes.partition("/")
        cluster.delete(kind, scene.namespace if name == "." else name, scene.namespace)


def create(cluster: Cluster, manifest: dict[str, Any], *, dry_run: bool = False) -> None:
    """Create an object; a new namespace gets its ServiceAccount a moment later."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            cluster.create(manifest, dry_run=dry_run)
            return
        except ClusterError as error:
            new = 'serviceaccount "default" not found' in str(error)
            if not new or time.monotonic() > end:
                raise
            time.sleep(0.1)


def until_refused(cluster: Cluster, workload: dict[str, Any], words: str) -> None:
    """Wait until the API server refuses a workload's pods in these words: it learns of rules with a delay."""
    template = workload["spec"]["template"]
    metadata = {"name": "trial", "namespace": workload["metadata"]["namespace"]}
    trial = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | template["metadata"],
        "spec": template["spec"],
    }
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            create(cluster, trial, dry_run=True)
        except (Rejected, ClusterError) as error:
            if re.search(words, str(error), re.DOTALL):
                return
        time.sleep(0.2)
    raise AssertionError(f"the API server admits the pods of {metadata['namespace']}")


def remove(cluster: Cluster, scene: Scene) -> None:
    """Delete a scene with what it has outside its namespace; nothing is waited for."""
    for kind in _CLUSTER_WIDE:
        cluster.delete(kind, scene.namespace)
    for pod in cluster.list("Pod", scene.namespace):
        if pod["metadata"].get("finalizers"):
            body = {"metadata": {"finalizers": None}}
            cluster.patch("Pod", pod["metadata"]["name"], body, scene.namespace)
    cluster.delete("Namespace", scene.namespace)
