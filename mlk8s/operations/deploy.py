"""Deploy a model service, delete it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlk8s.assess.rollout import stuck_pods
from mlk8s.clients.cluster import Cluster
from mlk8s.clients.platform import Platform
from mlk8s.clients.traffic import way_in
from mlk8s.errors import Forbidden, NotFound
from mlk8s.operations import alerts, bluegreen_state, canary_state
from mlk8s.operations.apply import apply_all, refuse_foreign
from mlk8s.operations.claims import remove_claims, require_claims, require_classes, taken
from mlk8s.operations.dra import remove_templates, require_dra
from mlk8s.operations.entry import wait_for_entry
from mlk8s.operations.facts import facts_for, render_facts
from mlk8s.operations.model import with_digest
from mlk8s.operations.preflight import require_namespace, require_permissions, require_storage_secret
from mlk8s.operations.replicas import hand_over, settle
from mlk8s.operations.rollout_checks import refuse_paused, warn_surge
from mlk8s.operations.rollout_state import remove_controller
from mlk8s.operations.scalers import require_scalers
from mlk8s.operations.secrets import require_secrets
from mlk8s.operations.tenant import with_pull_secrets
from mlk8s.operations.waiting import RolloutWatcher, wait_rollout
from mlk8s.operations.way_in import require_way_in, wait_for_address, wait_for_gateway
from mlk8s.render.common import (
    COMPONENT,
    INSTANCE,
    MANAGED_BY,
    MANAGER,
    NAME,
    Manifest,
    Track,
    model_version,
)
from mlk8s.render.deployment import model_source
from mlk8s.render.routing import service_url
from mlk8s.render.service import render_service
from mlk8s.render.stored import stored_spec
from mlk8s.spec.service import ModelService

Say = Callable[[str], None]

CHANGE_CAUSE = "kubernetes.io/change-cause"
"""kubectl's own annotation; the Deployment controller copies it to the ReplicaSet of the revision."""

_READS = ("Pod", "ReplicaSet")
MIRROR = ("IngressRoute", "TraefikService")
"""What copies requests to a shadow, in the order in which it goes: the rule before what it names."""
OPTIONAL = ("HorizontalPodAutoscaler", "ScaledObject", "VerticalPodAutoscaler", "Ingress", "HTTPRoute")
"""Kinds that a service has only where its spec asks for them."""
_ALL = (
    "Ingress",
    "ScaledObject",
    "VerticalPodAutoscaler",
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
    from mlk8s.operations import bluegreen

    namespace = spec.namespace or cluster.namespace
    resolved = with_digest(cluster, platform, _complete(cluster, spec, platform, namespace), namespace, say)
    require_secrets(cluster, namespace, resolved)
    facts = facts_for(cluster, platform, resolved, namespace)
    return bluegreen.planned(cluster, resolved, facts) or render_service(resolved, facts)


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
        NotFound: the namespace, a claim, a Secret or its key, or the autoscaler's API is not there; nothing
            was written.
        Forbidden: permissions are missing; nothing was written.
        Conflict: an object of somebody else has the name, a canary runs, or the rollout is paused.
        StorageError: the model is not in the storage, or its digest differs.
        Rejected: the API server refused an object; what was applied is named.
        RolloutFailed, WaitTimeout: see `wait_rollout`.
    """
    from mlk8s.operations import bluegreen

    started = time.monotonic()
    namespace = spec.namespace or cluster.namespace
    if require_namespace(cluster, namespace, create=create_namespace):
        say(f"{spec.name}: namespace {namespace} made")
    spec = _complete(cluster, spec, platform, namespace)
    manifests = render_service(spec, render_facts(platform, namespace))
    require_scalers(cluster, spec, namespace)
    require_permissions(cluster, namespace, [item["kind"] for item in manifests], _READS)
    require_secrets(cluster, namespace, spec)
    require_way_in(cluster, platform, spec, namespace)
    live = cluster.find("Deployment", spec.name, namespace)
    if live is not None:
        canary_state.refuse_while_running(live)
        refuse_paused(live, wait=wait, say=say)
    source = model_source(spec)
    require_claims(cluster, namespace, [*source.claims, *taken(spec.volumes)])
    require_classes(cluster, manifests)
    require_dra(cluster, spec.gpu)
    if source.s3 and require_storage_secret(cluster, namespace, spec.storage_secret):
        say(f"{spec.name}: storage credentials copied into namespace {namespace}")
    spec = _keep_digest(with_digest(cluster, platform, spec, namespace, say), live)
    if live is not None and (spec.strategy == "BlueGreen" or bluegreen_state.read(live) is not None):
        return bluegreen.deploy(
            cluster, platform, spec, wait=wait, timeout=timeout, say=say, started=started
        )  # fmt: skip
    if live is not None:
        warn_surge(cluster, spec, say)
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
    track: Track = "stable",
    cause: str | None = None,
) -> Deployed:
    """Apply a complete spec and wait.

    Args:
        live: the workload's Deployment before.
        started: a monotonic time.
        track: the workload that has the requests.
        cause: why the pods change, for the history; by default the deploy of this model.
    """
    namespace = spec.namespace or cluster.namespace
    facts = facts_for(cluster, platform, spec, namespace)
    manifests = render_service(spec, facts, track)
    refuse_foreign(cluster, manifests)
    workload = next(item for item in manifests if item["kind"] == "Deployment")
    workload["metadata"]["annotations"][CHANGE_CAUSE] = cause or f"deploy {spec.model}"
    instance = workload["metadata"]["name"]
    hand_over(cluster, live, workload)
    applied = apply_all(cluster, manifests, say=say)
    deployment = next(item for item in applied if item["kind"] == "Deployment")
    settle(cluster, live, deployment, max(1, spec.autoscale.min) if spec.autoscale else None)
    _remove_leftovers(cluster, spec.name, instance, namespace, manifests, say)
    say(f"{spec.name}: {spec.model} applied, {len(applied)} objects in namespace {namespace}")
    if live is not None and live["metadata"].get("generation") == deployment["metadata"].get("generation"):
        restart_stuck(cluster, instance, namespace, say)
    url = service_url(spec, facts)
    if not wait:
        return Deployed(spec=spec, url=url, ready=0, seconds=time.monotonic() - started)
    verdict = wait_rollout(cluster, instance, namespace, timeout=timeout, say=say)
    wait_for_gateway(cluster, spec, namespace, say=say)
    wait_for_address(cluster, platform, spec, namespace, say=say)
    wait_for_entry(spec, facts, say=say, version=model_version(spec.model))
    seconds = time.monotonic() - started
    prune_configs(cluster, spec.name, instance, namespace)
    found = way_in(cluster, spec.name, namespace)
    url = url if found is None else found.url(platform)
    say(f"{spec.name}: serves {spec.model}{f' at {url}' if url else ''} after {seconds:.1f} s")
    return Deployed(spec=spec, url=url, ready=verdict.ready, seconds=seconds)


def delete(
    cluster: Cluster,
    platform: Platform,
    name: str,
    namespace: str,
    *,
    data: bool = False,
    say: Say = print,
) -> None:
    """Delete every object of a service, a canary or shadow included; the way in first: no request is cut off.

    Its rules go from Prometheus before its pods, which would be missed; metrics that were declared stay, as
    other services may follow them.

    Args:
        data: delete the claims that its spec retains, too, and so what is in them.

    Raises:
        NotFound: there is nothing of that name.
    """
    labels = f"{NAME}={name},{COMPONENT}=model-server,{MANAGED_BY}={MANAGER}"
    gone = int(remove_controller(cluster, name, namespace))
    gone += _remove_rules(cluster, platform, name, namespace, say)
    for kind in (*MIRROR, "HTTPRoute", *_ALL):
        try:
            found = cluster.list(kind, namespace, labels=labels)
        except NotFound:
            continue  # the cluster has no Traefik, Gateway API, KEDA or VPA
        except Forbidden:
            if kind not in (*OPTIONAL, *MIRROR):
                raise
            continue  # who may not read this kind has made none
        for item in found:
            gone += cluster.delete(kind, item["metadata"]["name"], namespace)
    gone += remove_templates(cluster, namespace, labels)
    gone += remove_claims(cluster, namespace, labels, data=data, say=say)
    if not gone:
        raise NotFound(
            f"no model service is named {name!r}",
            where=f"namespace {namespace!r} of context {cluster.context!r}",
            next_step="`mlk8s services` lists them",
        )
    say(f"{name}: {gone} objects deleted from namespace {namespace}")


def _remove_rules(cluster: Cluster, platform: Platform, name: str, namespace: str, say: Say) -> int:
    try:
        return int(alerts.remove(cluster, platform, name, namespace, say=say))
    except Forbidden:
        return 0  # who may not write Prometheus' rules has made none


def _complete(cluster: Cluster, spec: ModelService, platform: Platform, namespace: str) -> ModelService:
    """Return the spec with what the platform gives, so that it means the same tomorrow."""
    complete: ModelService = spec.replace(
        namespace=namespace,
        image=spec.image or platform.server_image,
        storage_endpoint=spec.storage_endpoint or platform.s3_endpoint,
    )
    return with_pull_secrets(cluster, complete, namespace)


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
    cluster: Cluster, service: str, instance: str, namespace: str, manifests: Sequence[Manifest], say: Say
) -> None:
    """Delete our own optional objects that the spec no longer asks for."""
    wanted = {item["kind"] for item in manifests}
    for kind in OPTIONAL:
        if kind in wanted:
            continue
        name = instance if kind == "HorizontalPodAutoscaler" else service
        try:
            found = cluster.find(kind, name, namespace)
        except Forbidden:
            continue  # who may not read this kind has made none
        if found is not None and (found["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER:
            cluster.delete(kind, name, namespace)
            say(f"{service}: {kind} deleted, the spec no longer asks for it")


def restart_stuck(cluster: Cluster, name: str, namespace: str, say: Say) -> None:
    """Replace pods that failed in an earlier try: their back-off may outlast the fault by minutes."""
    for pod, cause in stuck_pods(RolloutWatcher(cluster, name, namespace).facts()):
        say(f"{name}: starting {pod['metadata']['name']} afresh, it had failed: {cause.message}")
        cluster.delete("Pod", pod["metadata"]["name"], namespace)


def prune_configs(cluster: Cluster, service: str, instance: str, namespace: str) -> None:
    """Delete ConfigMaps of versions that no ReplicaSet of a workload can come back to."""
    labels = f"{NAME}={service},{INSTANCE}={instance},{COMPONENT}=model-server,{MANAGED_BY}={MANAGER}"
    kept: set[str] = set()
    for item in cluster.list("ReplicaSet", namespace, labels=labels.rpartition(",")[0]):
        pod = item["spec"]["template"]["spec"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            kept |= {
                ref["configMapRef"]["name"] for ref in container.get("envFrom") or [] if "configMapRef" in ref
            }
        kept |= {volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume}
    for item in cluster.list("ConfigMap", namespace, labels=labels):
        if item["metadata"]["name"] not in kept:
            cluster.delete("ConfigMap", item["metadata"]["name"], namespace)
