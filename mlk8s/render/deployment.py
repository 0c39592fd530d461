"""The model server's pods: ConfigMap, ServiceAccount and Deployment of one workload."""

from __future__ import annotations

from math import ceil

from mlk8s.render.common import (
    MODEL,
    SPEC,
    Identity,
    Manifest,
    digest,
    manifest,
    model_version,
    needed,
    service_labels,
)
from mlk8s.render.configuration import environment, file_mounts, file_volumes, secrets_annotation
from mlk8s.render.container import container, container_volumes, probe, sidecar
from mlk8s.render.dra import pod_claims
from mlk8s.render.facts import RenderFacts
from mlk8s.render.pod import (
    MOVABLE,
    TMP_LIMIT,
    container_security,
    empty_dir,
    env,
    pod_basis,
    resources,
    tmp_mount,
)
from mlk8s.render.routing import PORT, route_path, service_url
from mlk8s.render.scheduling import scheduling
from mlk8s.render.sources import Sources, sources
from mlk8s.render.stored import dump_spec
from mlk8s.render.volume import mount, pod_volume
from mlk8s.render.waived import of_deployment
from mlk8s.spec.fields import parse_quantity
from mlk8s.spec.pods import FETCH, SERVER, server_probes
from mlk8s.spec.service import ModelService
from mlk8s.spec.strategy import DEFAULT_SURGE, DEFAULT_UNAVAILABLE

MODEL_DIR = "/models"
PRE_STOP = 5
"""Seconds a pod goes on answering after it was told to end: until no proxy sends it new requests."""
_SLACK = 5  # seconds between the last answer and the kill
_HISTORY = 5  # old ReplicaSets that stay, to go back to


def storage_endpoint(spec: ModelService, facts: RenderFacts) -> str:
    """Return the S3 address as seen from the service's pods.

    Raises:
        UsageError: when neither the spec nor the platform names one.
    """
    return needed(spec.storage_endpoint or facts.storage_endpoint, "the object storage", "storage_endpoint")


def model_source(spec: ModelService) -> Sources:
    """Return what the pods need to fetch the model."""
    return sources([spec.model], spec.storage_secret, spec.model_ca)


def config_map(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return the configuration of one version, as the environment that the pods read.

    Its name ends with the hash of its content and it is immutable: a change makes new pods, and an old pod
    that starts again still reads what it was made for.
    """
    path = route_path(spec, facts)
    data = {
        "MODEL_NAME": spec.name,
        "MODEL_URL": spec.model,
        "MODEL_VERSION": model_version(spec.model),
        "MODEL_BYTES": str(int(parse_quantity(spec.resources.ephemeral_storage))),
        "BASE_PATH": "" if path == "/" else path,
        "SERVICE_ENDPOINT": f"http://{identity.address}.{facts.namespace}.svc:{PORT}",
        "MAX_IN_FLIGHT": str(spec.max_in_flight),
        "SHUTDOWN_SECONDS": f"{spec.request_timeout:g}",
    }
    if model_source(spec).s3:
        data["STORAGE_ENDPOINT"] = storage_endpoint(spec, facts)
    if spec.digest is not None:
        data["MODEL_DIGEST"] = spec.digest
    url = service_url(spec, facts)
    if url is not None:
        data["PUBLIC_ENDPOINT"] = url
    name = f"{identity.instance}-{digest(data)}"
    labels = service_labels(spec, identity)
    return manifest("v1", "ConfigMap", name, facts.namespace, labels, immutable=True, data=data)


def service_account(spec: ModelService, facts: RenderFacts, identity: Identity) -> Manifest:
    """Return an account without rights and without a token: a model server does not call Kubernetes."""
    labels = service_labels(spec, identity)
    return manifest(
        "v1",
        "ServiceAccount",
        identity.instance,
        facts.namespace,
        labels,
        automountServiceAccountToken=False,
    )


def deployment(
    spec: ModelService, facts: RenderFacts, identity: Identity, config: Manifest, replicas: int | None
) -> Manifest:
    """Return the Deployment; `replicas` None leaves the number to an autoscaler.

    Unless the spec says otherwise, no pod of the old version goes before one of the new version answers.
    """
    labels = service_labels(spec, identity)
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT),
        **MOVABLE,
        **secrets_annotation((spec, *spec.init, *spec.sidecars), facts.secret_versions),
    }
    body: Manifest = {} if replicas is None else {"replicas": replicas}
    body |= {
        "revisionHistoryLimit": _HISTORY,
        "progressDeadlineSeconds": ceil(spec.startup_timeout) + 60,
        "strategy": _strategy(spec),
        "selector": {"matchLabels": identity.selector},
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": _pod(spec, facts, identity, config["metadata"]["name"]),
        },
    }
    stored = {MODEL: spec.model, SPEC: dump_spec(spec), **of_deployment(spec, identity, replicas)}
    return manifest("apps/v1", "Deployment", identity.instance, facts.namespace, labels, stored, spec=body)


def _strategy(spec: ModelService) -> Manifest:
    """Return how the pods of one Deployment are replaced; within a colour of BlueGreen, pod by pod."""
    if spec.strategy == "Recreate":
        return {"type": "Recreate"}
    surge = DEFAULT_SURGE if spec.max_surge is None else spec.max_surge
    unavailable = DEFAULT_UNAVAILABLE if spec.max_unavailable is None else spec.max_unavailable
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge},
    }


def _pod(spec: ModelService, facts: RenderFacts, identity: Identity, config: str) -> Manifest:
    scratch = spec.resources.ephemeral_storage
    return {
        **pod_basis(spec, identity.instance),
        "terminationGracePeriodSeconds": PRE_STOP + ceil(spec.request_timeout) + _SLACK,
        **scheduling(spec.scheduling, identity.selector, gpu=spec.gpu, revision="pod-template-hash"),
        **pod_claims(spec.gpu, identity.instance),
        "initContainers": [
            *(container(item) for item in spec.init),
            *(sidecar(item) for item in spec.sidecars),
            _fetch(spec, facts, config),
        ],
        "containers": [_server(spec, facts, config)],
        "volumes": [
            *model_source(spec).volumes,
            *(pod_volume(item, spec.name) for item in spec.volumes),
            empty_dir("models", scratch),
            empty_dir("tmp", TMP_LIMIT),
            *file_volumes(spec, SERVER, identity.instance),
            *container_volumes((*spec.init, *spec.sidecars), identity.instance),
        ],
    }


def _fetch(spec: ModelService, facts: RenderFacts, config: str) -> Manifest:
    return {
        "name": FETCH,
        "image": needed(spec.image or facts.server_image, "a model server image", "image"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "mlk8s.server.fetch"],
        "envFrom": [{"configMapRef": {"name": config}}],
        "env": env({"MODEL_DIR": MODEL_DIR, **model_source(spec).env}),
        "resources": resources(spec.resources),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *model_source(spec).mounts,
            {"name": "models", "mountPath": MODEL_DIR},
            tmp_mount(),
        ],
    }


def _server(spec: ModelService, facts: RenderFacts, config: str) -> Manifest:
    probes = server_probes(spec.probes, spec.startup_timeout)
    return {
        "name": SERVER,
        "image": needed(spec.image or facts.server_image, "a model server image", "image"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "mlk8s.server"],
        "envFrom": [{"configMapRef": {"name": config}}],
        "env": environment(spec, {"MODEL_DIR": MODEL_DIR, "PORT": str(PORT)}),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": resources(spec.resources, spec.gpu),
        "securityContext": container_security(),
        **{f"{role}Probe": probe(item) for role, item in probes.items()},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "models", "mountPath": MODEL_DIR, "readOnly": True},
            *(mount(item) for item in spec.volumes),
            tmp_mount(),
            *file_mounts(spec, SERVER),
        ],
    }
