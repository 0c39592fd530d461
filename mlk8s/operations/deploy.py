"""Deploy a model service, go back to the version before, delete it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlk8s.assess.rollout import previous_replica_set, stuck_pods
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.errors import Forbidden, NotFound
from mlk8s.operations import canary_state
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.entry import wait_for_entry
from mlk8s.operations.facts import render_facts
from mlk8s.operations.model import with_digest
from mlk8s.operations.preflight import require_namespace, require_permissions, require_storage_secret
from mlk8s.operations.replicas import hand_over, settle
from mlk8s.operations.waiting import RolloutWatcher, wait_rollout
from mlk8s.render.common import COMPONENT, INSTANCE, MANAGED_BY, MANAGER, NAME, Manifest
from mlk8s.render.routing import service_url
from mlk8s.render.service import render_service
from mlk8s.render.stored import stored_spec
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]

_READS = ("Pod", "ReplicaSet")
_OPTIONAL = ("HorizontalPodAutoscaler", "Ingress", "HTTPRoute")
"""Kinds that a service has only where its spec asks for them."""
_ALL = (
    "Ingress",
    "HorizontalPodAutoscaler",
    "Deployment",
    "Service",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "ConfigMap",
    "ServiceAccount",
)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What a deploy left in the cluster.

    Attributes:
        spec: the spec as it was applied: namespace, digest, image and storage endpoint filled in.
        url: its address from outside; None without a route.
        ready: ready pods; 0 where the deploy did not wait.
        seconds: from the first request to the end of the rollout.
    """

    spec: ModelService
    url: str | None
    ready: int
    seconds: float


def plan(cluster: Cluster, platform: Platform, spec: ModelService, *, say: Say = print) -> list[Manifest]:
    """Return what `deploy` would apply, in order; writes nothing.

    Raises:
        StorageError: the model is not in the storage, or its digest differs.
        UsageError: neither the spec nor the platform names an image or the object storage.
    """
    namespace = spec.namespace or cluster.namespace
    resolved = with_digest(cluster, platform, _complete(spec, platform, namespace), namespace, say)
    return render_service(resolved, render_facts(platform, namespace))


def deploy(
    cluster: Cluster,
    platform: Platform,
    spec: ModelService,
    *,
    wait: bool = True,
    timeout: float = 180.0,
    create_namespace: bool = False,
    say: Say = print,
) -> Deployed:
    """Apply everything a model service is made of and wait until it serves; running it again converges.

    Args:
        timeout: seconds to wait; a known cause ends the wait earlier.
        create_namespace: make the namespace where it is not there.
        say: gets one line a change.

    Raises:
        NotFound: the namespace or the storage Secret is not there.
        Forbidden: permissions are missing; nothing was written.
        Conflict: an object of somebody else has the name, or a canary runs.
        StorageError: the model is not in the storage, or its digest differs.
        Rejected: the API server refused an object; what was applied is named.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    started = time.monotonic()
    namespace = spec.namespace or cluster.namespace
    if require_namespace(cluster, namespace, create=create_namespace):
        say(f"{spec.name}: namespace {namespace} made")
    spec = _complete(spec, platform, namespace)
    manifests = render_service(spec, render_facts(platform, namespace))
    require_permissions(cluster, namespace, [item["kind"] for item in manifests], _READS)
    live = cluster.find("Deployment", spec.name, namespace)
    if live is not None:
        canary_state.refuse_while_running(live)
    if require_storage_secret(cluster, namespace, spec.storage_secret):
        say(f"{spec.name}: storage credentials copied into namespace {namespace}")
    spec = _keep_digest(with_digest(cluster, platform, spec, namespace, say), live)
    return release(cluster, platform, spec, live, wait=wait, timeout=timeout, say=say, started=started)


def release(
    cluster: Cluster,
    platform: Platform,
    spec: ModelService,
    live: Manifest | None,
    *,
    wait: bool,
    timeout: float,
    say: Say,
    started: float,
) -> Deployed:
    """Apply a complete spec and wait; `live` is the Deployment before, `started` a monotonic time."""
    namespace = spec.namespace or cluster.namespace
    facts = render_facts(platform, namespace)
    manifests = render_service(spec, facts)
    refuse_foreign(cluster, manifests)
    workload = next(item for item in manifests if item["kind"] == "Deployment")
    hand_over(cluster, live, workload)
    applied = apply_all(cluster, manifests, say=say)
    deployment = next(item for item in applied if item["kind"] == "Deployment")
    settle(cluster, live, deployment, spec.autoscale.min if spec.autoscale else None)
    _remove_leftovers(cluster, spec.name, namespace, manifests, say)
    say(f"{spec.name}: {spec.model} applied, {len(applied)} objects in namespace {namespace}")
    if live is not None and live["metadata"].get("generation") == deployment["metadata"].get("generation"):
        _restart_stuck(cluster, spec.name, namespace, say)
    url = service_url(spec, facts)
    if not wait:
        return Deployed(spec=spec, url=url, ready=0, seconds=time.monotonic() - started)
    verdict = wait_rollout(cluster, spec.name, namespace, timeout=timeout, say=say)
    wait_for_entry(spec, facts, say=say)
    seconds = time.monotonic() - started
    _prune_configs(cluster, spec.name, namespace)
    say(f"{spec.name}: serves {spec.model}{f' at {url}' if url else ''} after {seconds:.1f} s")
    return Deployed(spec=spec, url=url, ready=verdict.ready, seconds=seconds)


def undo(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    wait: bool = True,
    timeout: float = 120.0,
    say: Say = print,
) -> Deployed:
    """Go back to the version before this one: the one that still serves, else the last revision.

    Everything is applied again from the spec of that version, its ConfigMap, autoscaler and routes included.

    Raises:
        NotFound: there is no such service, or no version before this one.
        Conflict: a canary runs.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    started = time.monotonic()
    facts = RolloutWatcher(cluster, name, namespace).facts()
    canary_state.refuse_while_running(facts.deployment)
    previous = previous_replica_set(facts)
    spec = stored_spec(previous) if previous is not None else None
    if spec is None:
        raise NotFound(
            f"{name} has no version to go back to",
            where=f"Deployment {namespace}/{name}",
            expected="an earlier revision that mlk8s deployed",
            next_step=f"`kubectl rollout history deployment/{name} -n {namespace}` shows the revisions",
        )
    say(f"{name}: back to {spec.model}")
    return release(
        cluster, platform, spec, dict(facts.deployment), wait=wait, timeout=timeout, say=say, started=started
    )


def delete(cluster: Cluster, name: str, namespace: str, *, say: Say = print) -> None:
    """Delete every object of a service, a canary included; the way in first, so that no request is cut off.

    Raises:
        NotFound: there is nothing of that name.
    """
    labels = f"{NAME}={name},{COMPONENT}=model-server,{MANAGED_BY}={MANAGER}"
    gone = 0
    for kind in ("HTTPRoute", *_ALL):
        try:
            found = cluster.list(kind, namespace, labels=labels)
        except NotFound:
            continue  # the cluster has no Gateway API
        for item in found:
            gone += cluster.delete(kind, item["metadata"]["name"], namespace)
    if not gone:
        raise NotFound(
            f"no model service is named {name!r}",
            where=f"namespace {namespace!r} of context {cluster.context!r}",
            next_step="`mlk8s services` lists them",
        )
    say(f"{name}: {gone} objects deleted from namespace {namespace}")


def _complete(spec: ModelService, platform: Platform, namespace: str) -> ModelService:
    """Return the spec with what the platform gives, so that it means the same tomorrow."""
    complete: ModelService = spec.replace(
        namespace=namespace,
        image=spec.image or platform.server_image,
        storage_endpoint=spec.storage_endpoint or platform.s3_endpoint,
    )
    return complete


def _keep_digest(spec: ModelService, live: Manifest | None) -> ModelService:
    """Return the spec with the digest of the same model that serves already, where none could be found out.

    A storage that is away for a moment must not make new pods of the same version.
    """
    serving = stored_spec(live) if live is not None and spec.digest is None else None
    if serving is None or serving.model != spec.model or serving.digest is None:
        return spec
    kept: ModelService = spec.replace(digest=serving.digest)
    return kept


def _remove_leftovers(
    cluster: Cluster, name: str, namespace: str, manifests: Sequence[Manifest], say: Say
) -> None:
    """Delete our own optional objects that the spec no longer asks for."""
    wanted = {item["kind"] for item in manifests}
    for kind in _OPTIONAL:
        if kind in wanted:
            continue
        try:
            found = cluster.find(kind, name, namespace)
        except Forbidden:
            continue  # who may not read this kind has made none
        if found is not None and (found["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER:
            cluster.delete(kind, name, namespace)
            say(f"{name}: {kind} deleted, the spec no longer asks for it")


def _restart_stuck(cluster: Cluster, name: str, namespace: str, say: Say) -> None:
    """Replace pods that failed in an earlier try: their back-off may outlast the fault by minutes."""
    for pod, cause in stuck_pods(RolloutWatcher(cluster, name, namespace).facts()):
        say(f"{name}: starting {pod['metadata']['name']} afresh, it had failed: {cause.message}")
        cluster.delete("Pod", pod["metadata"]["name"], namespace)


def _prune_configs(cluster: Cluster, name: str, namespace: str) -> None:
    """Delete ConfigMaps of versions that no ReplicaSet can come back to."""
    labels = f"{NAME}={name},{INSTANCE}={name},{COMPONENT}=model-server,{MANAGED_BY}={MANAGER}"
    kept: set[str] = set()
    for item in cluster.list("ReplicaSet", namespace, labels=labels.rpartition(",")[0]):
        pod = item["spec"]["template"]["spec"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            kept |= {
                ref["configMapRef"]["name"] for ref in container.get("envFrom") or [] if "configMapRef" in ref
            }
    for item in cluster.list("ConfigMap", namespace, labels=labels):
        if item["metadata"]["name"] not in kept:
            cluster.delete("ConfigMap", item["metadata"]["name"], namespace)
